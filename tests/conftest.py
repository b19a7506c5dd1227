"""Shared parts: a third-party distribution that pip installed, and the command line as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark_adapters import host

TESTS = Path(__file__).parent
ROOT = TESTS.parent
Ddbench = Callable[..., subprocess.CompletedProcess[str]]


def pip_install(source: Path, target: Path) -> None:
    """Installs a distribution from a folder, without network."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """The user's own cache stays as it is, and what one test trained serves the next, as for a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def strange_folder(tmp_path_factory):
    """``ddbench-strange``, the distribution in tests/thirdparty, installed by pip into a folder of its own."""
    source, target = tmp_path_factory.mktemp("source") / "strange", tmp_path_factory.mktemp("site")
    source.mkdir()
    for file in (TESTS / "thirdparty").glob("*.*"):
        (source / file.name).write_text(file.read_text())
    pip_install(source, target)
    return target


@pytest.fixture
def strange(strange_folder, monkeypatch):
    """A host with the plug-ins of ``ddbench-strange``, visible to child processes too."""
    monkeypatch.syspath_prepend(strange_folder)
    monkeypatch.setenv("PYTHONPATH", str(strange_folder))
    return host.build()


@pytest.fixture
def ddbench(tmp_path) -> Ddbench:
    """Runs the installed command in an empty folder: ``ddbench("run", ..., path=[folder with plug-ins])``."""

    def run(*arguments: str, path: list[Path] | None = None, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables}
        environment.pop("PYTHONPATH", None)
        if path:
            environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        return subprocess.run(
            [str(Path(sys.executable).parent / "ddbench"), *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return run


@pytest.fixture(scope="session")
def random_turbo(tmp_path_factory):
    """A random model in the layout of SDXL-Turbo's folder, as ``save_pretrained`` writes it."""
    import torch

    from gdd_plugin import architecture

    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("models") / "random-turbo"
    architecture.pipeline(["a photo of a cat", "dog"]).save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def one_thread():
    """Sums of several threads round differently from run to run, and training magnifies that."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    """A folder of 1,000 real images: Fashion-MNIST's bundled test split stands for the training split."""
    import struct

    import numpy as np

    from benchmark_adapters import datasets

    folder = tmp_path_factory.mktemp("few")
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    for name, array in (("images-idx3", images[:1000, 0]), ("labels-idx1", labels[:1000])):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    (folder / "t10k-images-idx3-ubyte").touch()
    return folder


@pytest.fixture(scope="module")
def made(few, one_thread, tmp_path_factory):
    """A model that the whole training made in small."""
    from small_training import SMALL

    from benchmark_adapters.datasets import FASHION_MNIST
    from gdd_plugin.training import journal
    from gdd_plugin.training.train import train

    folder = tmp_path_factory.mktemp("models") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "LOG_EVERY", 1)
        train(folder, FASHION_MNIST, few, SMALL, save_every=2)
    return folder
