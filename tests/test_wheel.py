"""``pip install .`` from a clean copy gives a package with model and data inside."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, pip_install


def test_an_installed_package_holds_model_and_data(tmp_path):
    source, target = tmp_path / "source", tmp_path / "site"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "tests"))
    pip_install(source, target)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    code = (
        "import json, benchmark_adapters, gdd_plugin.models as s\n"
        "from benchmark_adapters import datasets as d\n"
        "images, labels = d.load(d.FASHION_MNIST, 'test', bundled=True)\n"
        "from pathlib import Path\n"
        "from leaderboard import page, references\n"
        "page.write([], Path('board'))\n"
        "weights = list(s.BUNDLED['turbo-mini'].rglob('*.safetensors'))\n"
        "print(json.dumps([benchmark_adapters.__file__, len(images), len(d.TINY_IMAGENET.class_names), len(weights), len(references.load()) > 50]))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    where, images, names, weights, published = json.loads(done.stdout)
    assert Path(where).is_relative_to(target)
    assert (images, names, weights, published) == (10_000, 200, 4, True)
    assert {path.name for path in (tmp_path / "board").iterdir()} == {"index.html", "style.css", "sort.js", "plots", "runs", "grids", "confusion"}
    assert list(target.glob("ddbench-*.dist-info/licenses/LICENSE"))
