"""The process that decodes untrusted files does nothing else."""

import numpy as np
import pytest
import torch
from small_runs import only

from benchmark_adapters.execution import sandbox
from benchmark_adapters.formats import native
from leaderboard.records import store

pytestmark = pytest.mark.usefixtures("real_sandbox")
SCORE = ("score", "team", "--track", "hidden", "--device", "cpu", "--name", "T")
# Modules that train students, run methods or write records. A decoder needs none of them.
FORBIDDEN = (
    "benchmark_adapters.scoring.training",
    "benchmark_adapters.scoring.evaluate",
    "benchmark_adapters.scoring.students",
    "benchmark_adapters.execution.supervisor",
    "benchmark_adapters.runs",
    "leaderboard.records.store",
)


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_decode_changes_only_the_output_folder(example_plugins, submission, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    output = tmp_path / "output"
    output.mkdir()
    before = files_below(tmp_path)
    sandbox.decode(submission, "eccv2024", "few", output, sandbox.Limits())
    after = files_below(tmp_path)
    written = {path: after.pop(path) for path in list(after) if path.is_relative_to(output)}
    assert after == before
    assert {path.name for path in written} == {"images.safetensors", "manifest.json"}
    distilled = native.read(output, example_plugins.datasets["few"])
    assert np.bincount(distilled.labels).tolist() == [2] * 10


@pytest.mark.parametrize(("file_format", "uses_torch"), [("native", False), ("eccv2024", True)])
def test_decoder_imports_nothing_that_trains_or_writes_runs(
    example_plugins, submission, real_runs, tmp_path, monkeypatch, capfd, file_format, uses_torch
):
    path = only(real_runs, "few") if file_format == "native" else submission
    (tmp_path / "output").mkdir()
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    sandbox.decode(path, file_format, "few", tmp_path / "output", sandbox.Limits())
    lines = capfd.readouterr().err.splitlines()
    imported = {line.rsplit("|", 1)[-1].strip() for line in lines if "import time:" in line}
    # The decoder itself is __main__.
    assert "benchmark_adapters.execution.decoder" not in imported
    assert "benchmark_adapters.formats.native" in imported
    assert ("torch" in imported) == uses_torch
    assert not {name for name in imported if name.startswith(FORBIDDEN)}


def test_forged_scores_from_a_reader_are_ignored(ddbench, example_folder, submission, tmp_path):
    """The reader sends events with perfect scores, but the set that it returns is noise."""
    done = ddbench(*SCORE, "--format", "forging", path=[example_folder])
    assert done.returncode == 0, done.stderr
    (folder,) = store.runs_in([tmp_path / "runs"])
    record = store.read(folder)
    assert (record.status, record.n, record.ipc) == ("ok", 2, 2)
    assert record.scoring.device == "cpu"
    assert max(record.accuracies) < 0.9


def test_failed_reader_leaves_only_record_and_log(ddbench, example_folder, submission, tmp_path):
    torch.save(torch.zeros(1), submission / "few.pt")
    ddbench(*SCORE, "--format", "eccv2024", path=[example_folder])
    (folder,) = store.runs_in([tmp_path / "runs"])
    assert {path.name for path in folder.iterdir()} == {"record.json", "log.txt"}
    assert not list((tmp_path / "runs").rglob("decoded"))
    assert not list((tmp_path / "runs").glob(".unfinished/*"))
