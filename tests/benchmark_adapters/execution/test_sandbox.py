"""Child processes for untrusted files: their limits, and every way in which they can end."""

import json
import signal
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from attack import Attack
from project import wait_for
from small_runs import kept, seed_files

from benchmark_adapters.execution import channel, sandbox
from benchmark_adapters.execution.messages import DecodeJob
from leaderboard.records import store

pytestmark = pytest.mark.usefixtures("real_sandbox")

# This track skips the class-order check, which would train a network for a long time.
# The readers of these formats misbehave, and must be able to.
SCORE = (
    *("score", "team/few.pt", "--track", "hidden", "--name", "T", "--device", "cpu"),
    *("--isolate", "off"),
)


def only(runs):
    (folder,) = store.runs_in([runs])
    return store.read(folder)


def test_file_scores_the_same_as_its_run(shell, example_folder, real_runs, submission):
    done = shell(*SCORE, "--format", "eccv2024", "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    (run,) = (run for run in store.runs_in([real_runs]) if run.parts[-4] == "few")
    assert json.loads(done.stdout)["accuracies"] == store.read(run).accuracies


def test_hostile_file_gets_record_and_executes_nothing(
    ddbench, example_folder, submission, tmp_path
):
    torch.save(Attack(str(tmp_path / "executed")), submission / "few.pt")
    assert ddbench(*SCORE, "--format", "eccv2024", path=[example_folder]).returncode == 1
    assert only(tmp_path / "runs").status == "invalid"
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("file_format", "limits", "message"),
    [
        ("greedy", ["--max-memory", "2"], "reading failed: its process failed with "),
        ("sleepy", ["--max-seconds", "2"], "reading failed: it took longer than 2 s"),
        ("deadly", [], "reading failed: its process failed with signal SIGSEGV"),
    ],
)
def test_set_that_exceeds_limits_gets_record(
    ddbench, example_folder, submission, tmp_path, file_format, limits, message
):
    done = ddbench(*SCORE, "--format", file_format, *limits, path=[example_folder])
    assert done.returncode == 1
    record = only(tmp_path / "runs")
    assert record.status == "error"
    assert record.message.startswith(message)
    assert "MemoryError" in record.message or file_format != "greedy"
    assert "Traceback" not in done.stderr


def test_memory_is_polled_if_system_enforces_no_limit(
    ddbench, example_folder, submission, tmp_path, monkeypatch
):
    """This is the case on macOS."""
    monkeypatch.setattr(sandbox, "HAS_MEMORY_LIMIT", False)
    done = ddbench(*SCORE, "--format", "greedy", "--max-memory", "1", path=[example_folder])
    assert done.returncode == 1
    record = only(tmp_path / "runs")
    assert record.status == "error"
    assert "its process failed with MemoryError; its memory limit is 1.0 GiB" in record.message


def test_interrupted_score_leaves_no_process(started, submission, tmp_path):
    process = started(*SCORE, "--format", "sleepy")
    wait_for((tmp_path / "asleep").exists)
    (decoder,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert not decoder.is_running()
    assert (process.returncode, err.splitlines()[-1]) == (1, "error: interrupted")
    assert not list((tmp_path / "runs").glob("*/*/*/*/record.json"))


def test_interrupted_training_reports_finished_seeds(started, submission, tmp_path):
    quick = ("--students", "mlp", "--repeats", "1000")
    process = started(*SCORE, "--format", "eccv2024", *quick, "--json")
    # A seed is saved a moment before it is reported.
    wait_for(lambda: any(len(seed_files(work)) > 1 for work in kept(tmp_path)))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    document = json.loads(out)
    assert (process.returncode, document["status"]) == (1, "error")
    assert (document["failed_stage"], document["interrupted"]) == ("scoring", True)
    finished = len(document["accuracies"])
    assert document["message"] == (
        f"scoring failed: interrupted (the images are saved; finished seeds: {finished})"
    )
    assert len(document["accuracies"]) >= 1
    assert "error: status error: scoring failed: interrupted" in err


def test_training_that_times_out_keeps_finished_seeds(
    ddbench, example_folder, submission, tmp_path, monkeypatch
):
    """The time expires when the process builds the second of three students."""
    asleep = tmp_path / "asleep"
    late = SimpleNamespace(monotonic=lambda: time.monotonic() + 1e6 * asleep.exists())
    monkeypatch.setattr(channel, "time", late)
    limits = ("--max-seconds", "3600", "--repeats", "3", "--students", "late")
    done = ddbench(
        *SCORE, "--format", "eccv2024", *limits, path=[example_folder], ASLEEP=str(asleep)
    )
    assert done.returncode == 1
    record = only(tmp_path / "runs")
    assert (record.status, record.n, record.ipc, record.failed_stage) == ("error", 1, 2, "scoring")
    assert record.message == (
        "scoring failed: it took longer than 3600 s (the images are saved; finished seeds: 1)"
    )


def test_process_that_crashes_at_start_is_reported():
    job, limits = DecodeJob("", "", "", ""), sandbox.Limits(seconds=60)
    with pytest.raises(sandbox.SandboxFailed, match="failed with exit code 1"):
        sandbox.run("benchmark_adapters.no_such_module", [job], limits, lambda event: None)
