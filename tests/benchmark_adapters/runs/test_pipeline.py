"""Runs from request to record, with real child processes and every way in which a method can misbehave."""

import json
import os
import re
import shutil
import signal
import sys
import uuid
from pathlib import Path

import numpy as np
import psutil
import pytest
from project import wait_for
from safetensors.numpy import load_file

from benchmark_adapters import datasets
from benchmark_adapters import distilled as checks
from benchmark_adapters.execution.process_tree import MARK
from benchmark_adapters.execution.supervisor import Log
from benchmark_adapters.runs import pipeline as harness
from benchmark_adapters.runs.request import Request, plan
from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.records.record import Record


def run(strange, tmp_path, method, **asked):
    """Runs ``method`` on the small track and returns folder and record."""
    request = Request(
        **{"method": method, "track": "few", "runs": tmp_path / "runs", "device": "cpu", **asked}
    )
    (todo,) = plan(request, strange)
    folder = harness.run(todo)
    return folder, store.read(folder)


@pytest.fixture(autouse=True)
def _this_test(monkeypatch):
    """A mark that tells the processes of this test from those of others on the machine."""
    monkeypatch.setenv("DDBENCH_TEST", uuid.uuid4().hex)


def processes_of_runs():
    """Living processes that a run of this test started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if (
                MARK in environment
                and environment.get("DDBENCH_TEST") == os.environ["DDBENCH_TEST"]
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(autouse=True)
def _no_stray_process(_this_test):
    yield
    assert processes_of_runs() == []


def test_a_good_run_leaves_everything_that_its_record_says(strange, tmp_path):
    folder, record = run(strange, tmp_path, "good", seed=7)
    assert folder.relative_to(tmp_path).parts == ("runs", "few", "few", "good", record.run_id)
    assert {path.name for path in folder.iterdir()} == {
        "record.json",
        "manifest.json",
        "images.safetensors",
        "grid.png",
        "log.txt",
    }
    tensors = load_file(folder / "images.safetensors")
    assert tensors["images"].dtype == np.uint8
    assert tensors["images"].shape == (20, 1, 28, 28)
    assert tensors["labels"].tolist() == np.repeat(np.arange(10), 2).tolist()
    assert (record.status, record.ipc, record.seeds, record.n, record.comparable) == (
        "ok",
        2,
        [7, 8],
        2,
        True,
    )
    assert record.accuracy_mean == pytest.approx(sum(record.accuracies) / 2)
    assert np.sum(record.confusion) == 2 * 300
    assert np.trace(record.confusion) / 600 == pytest.approx(record.accuracy_mean)
    assert (record.model, record.batch, record.device) == ("noise", 10, "cpu")
    assert record.images_per_second > 0
    assert 0 < record.seconds["load"] < 30
    assert record.versions["torch"]
    assert record.hardware["cores"] >= 1
    test = datasets.load(strange.datasets["few"], "test", bundled=True)
    assert record.data_sha256 == datasets.digest(*test)


def test_the_record_holds_every_promised_field(strange, tmp_path):
    folder, _ = run(strange, tmp_path, "good")
    promised = """schema run_id status message track dataset method options seed ipc generated_per_class accuracies accuracy_mean accuracy_std
        accuracy_ci95 seconds images_per_second model model_sha256 images_sha256 recipe recipe_sha256 uses_real_data comparable limit_enforced
        model_trained_on batch threads confusion data_sha256 hardware versions commit created"""
    text = (folder / "record.json").read_text()
    assert set(promised.split()) <= set(json.loads(text))
    assert os.uname().nodename not in text
    assert str(tmp_path) not in text
    assert Record.from_json(text).device == "cpu"


def test_equal_seeds_give_equal_images_and_accuracies(strange, tmp_path):
    first, second, other = (run(strange, tmp_path, "good", seed=seed)[1] for seed in (3, 3, 4))
    assert first.images_sha256 == second.images_sha256 != other.images_sha256
    assert first.accuracies == second.accuracies


def test_late_rounds_are_lost_and_those_in_time_are_kept(strange, tmp_path, clock):
    clock.jump_after(rounds=3)
    folder, record = run(strange, tmp_path, "good", ipc=50)
    assert record.status == "timeout"
    assert record.message == "3 of 50 images per class by the limit"
    assert record.ipc == 3
    assert len(load_file(folder / "images.safetensors")["labels"]) == 30
    assert record.n == 2
    assert record.comparable is False
    assert record.seconds["load"] + record.seconds["generate"] <= 30


def test_max_at_the_limit_is_ok_and_balanced(strange, tmp_path, clock):
    clock.jump_after(rounds=9)
    folder, record = run(strange, tmp_path, "unbalanced", ipc="max", repeats=0)
    labels = load_file(folder / "images.safetensors")["labels"]
    assert np.bincount(labels).tolist() == [4] * 10
    assert (record.status, record.ipc, record.ipc_asked, record.accuracies) == ("ok", 4, None, [])
    assert "IPC 4 instead of 2" in record.not_comparable_because


def test_no_round_in_time_is_a_timeout_without_score(strange, tmp_path):
    folder, record = run(strange, tmp_path, "hangs", time_limit=1)
    assert (record.status, record.accuracies, record.ipc) == ("timeout", [], 0)
    assert not (folder / "images.safetensors").exists()


def test_signals_do_not_save_a_method_from_the_limit(strange, tmp_path, clock):
    """The fixture checks that its process is gone."""
    clock.jump_after(rounds=1)
    _, record = run(strange, tmp_path, "ignores-sigterm")
    assert (record.status, record.ipc) == ("timeout", 1)


@pytest.mark.parametrize(
    ("method", "status", "message"),
    [
        ("raises", "error", r"the method raised RuntimeError: the model exploded"),
        ("exits", "error", r"the method raised SystemExit: enough"),
        ("dies", "error", r"process was ended by SIGKILL"),
        ("leaves", "error", r"process ended itself with exit code 7"),
        ("wrong-shape", "invalid", r"shape \[10, 28, 28\], expected \[n, 1, 28, 28\]"),
        ("wrong-size", "invalid", r"shape \[10, 1, 32, 32\], expected \[n, 1, 28, 28\]"),
        ("wrong-dtype", "invalid", r"type float64, expected uint8"),
        ("nan", "invalid", r"type float32, some of them NaN or infinite, expected uint8"),
        ("label-range", "invalid", r"labels from 1 to 10, expected 0 to 9"),
        ("label-dtype", "invalid", r"labels of type float64"),
        ("label-count", "invalid", r"labels of type int64 and shape \[5\], expected int64 \[10\]"),
        ("no-pair", "invalid", r"yielded ndarray, expected a tuple"),
        ("nothing", "invalid", r"ended without 2 images per class"),
        ("silenced-raises", "error", r"RuntimeError: nobody hears it"),
        ("meddles", "invalid", r"wrote into the harness's own channel"),
        ("deletes", "error", r"the rounds on disk are not as they were written"),
        ("no-generator", "invalid", r"distill returned NoneType, expected a generator"),
        ("empty-rounds", "invalid", r"yielded no images"),
        ("many-lines", "error", r"^one two \[31m x{400,500} \[...\]$"),
        ("nan-fact", "error", r"Out of range float values"),
        ("typed-fact", "error", r"task.ready\(batch='many'\): expected int"),
        ("too-few", "invalid", r"ended after 1 of 2 images per class"),
    ],
)
def test_broken_methods_leave_a_record_and_no_score(strange, tmp_path, method, status, message):
    folder, record = run(strange, tmp_path, method)
    assert record.status == status
    assert re.search(message, record.message)
    assert "\n" not in record.message
    assert (record.accuracies, record.comparable) == ([], False)
    assert store.runs_in([tmp_path / "runs"]).__next__() == folder


def test_images_of_a_method_that_fails_later_are_kept(strange, tmp_path):
    folder, record = run(strange, tmp_path, "raises")
    assert record.ipc == 1
    assert len(load_file(folder / "images.safetensors")["labels"]) == 10
    assert "exploded" in (folder / "log.txt").read_text()


def test_a_talkative_method_is_cut_short_in_the_log_alone(strange, tmp_path):
    folder, record = run(strange, tmp_path, "megabyte")
    text = (folder / "log.txt").read_text()
    assert record.status == "ok"
    assert 50_000 < len(text) < 200_000
    assert text.startswith("first words")
    assert "last words" in text
    assert "bytes left out" in text


def test_log_keeps_both_ends():
    log = Log()
    for number in range(100_000):
        log.write(b"%07d\n" % number)
    lines = log.text().splitlines()
    assert (lines[0], lines[-1]) == ("0000000", "0099999")
    kept = len(log.head) + len(log.tail)
    assert log.left_out + kept == 800_000


def test_no_process_survives_even_in_a_session_of_its_own(strange, tmp_path):
    pids = tmp_path / "pids"
    _, record = run(strange, tmp_path, "forks", options=[f"pids={pids}"])
    assert record.status == "ok"
    assert living(pids) == []
    assert record.options["pids"] == "pids"  # no folder of this machine


def living(pids):
    """Those of the three processes that a method wrote down that still run."""
    numbers = [int(pid) for pid in pids.read_text().split()]
    assert len(numbers) == 3
    return [
        pid
        for pid in numbers
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


UNLIKE_LINUX = "from benchmark_adapters import cli, processes; processes.ADOPTS = False; cli.main()"


@pytest.mark.parametrize("ending", [None, signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_where_orphans_are_not_adopted(started, tmp_path, ending):
    """As on macOS: the method ends by itself, is ended by the harness, or loses it."""
    pids = tmp_path / "pids"
    options = [
        "--method",
        "forks",
        "--track",
        "few",
        "--repeats",
        "0",
        "--option",
        f"pids={pids}",
        "--option",
        f"asleep={ending is not None}",
    ]
    process = started(
        "-c",
        UNLIKE_LINUX,
        "run",
        *options,
        "--device",
        "cpu",
        "--time-limit",
        "3600",
        program=sys.executable,
    )
    if ending:
        wait_for((tmp_path / "asleep").exists)
        process.send_signal(ending)
    process.communicate(timeout=300)
    wait_for(lambda: not living(pids))


def test_a_method_has_no_stdin_and_no_way_to_wait_for_it(strange, tmp_path):
    assert run(strange, tmp_path, "reads-stdin")[1].status == "ok"


@pytest.mark.parametrize("method", ["silenced", "comes-back-twice"])
def test_oddities_that_harm_nobody(strange, tmp_path, method):
    assert run(strange, tmp_path, method, repeats=0)[1].status == "ok"


def test_records_name_no_folders_whoever_speaks(strange, tmp_path):
    folder, record = run(strange, tmp_path, "talks-of-folders", ipc=3)
    assert "alice" not in (folder / "record.json").read_text()
    assert (record.model, record.facts["weights"]) == ("mine", "w.bin")


def test_a_signal_after_sampling_keeps_the_images(strange, tmp_path, monkeypatch):
    save = harness._save

    def interrupted(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(harness, "_save", interrupted)
    folder, record = run(strange, tmp_path, "good")
    assert (record.status, record.accuracies) == ("error", [])
    assert record.message == "scoring failed, the images are kept: interrupted"
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_a_method_may_change_its_working_directory(strange, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(strange, tmp_path, "wanders", runs=Path("runs"))[1].status == "ok"


def test_copies_are_counted_apart(strange, tmp_path):
    _, record = run(strange, tmp_path, "marks", ipc=4, repeats=0)
    assert (record.ipc, record.generated_per_class) == (4, 2)


def test_options_arrive_with_their_types(strange, tmp_path):
    _, record = run(
        strange, tmp_path, "options", options=["number=7", "share=.25", "flag=yes"], repeats=0
    )
    assert record.facts["seen"] == {"text": "'a'", "number": "7", "share": "0.25", "flag": "True"}


def test_random_real_takes_real_training_images(strange, tmp_path):
    folder, record = run(strange, tmp_path, "random-real", repeats=0)
    real = datasets.load(strange.datasets["few"], "train", bundled=True)[0]
    chosen = load_file(folder / "images.safetensors")["images"]
    assert all((real == image).all((1, 2, 3)).any() for image in chosen)
    assert (record.uses_real_data, record.images_per_second, record.generated_per_class) == (
        True,
        None,
        0,
    )


def test_real_images_only_where_the_track_gives_them(strange, tmp_path):
    _, record = run(strange, tmp_path, "random-real", track="few-sizes")
    assert (record.status, record.message) == (
        "error",
        "track few-sizes gives methods no real training images",
    )


def test_more_real_images_than_there_are_is_one_clear_line(strange, tmp_path):
    _, record = run(strange, tmp_path, "random-real", ipc=1000)
    assert record.status == "error"
    assert "ask for fewer with --ipc" in record.message


def test_runs_of_different_ipc_are_ranked_apart_where_the_track_has_several(strange, tmp_path):
    one, two = (run(strange, tmp_path, "good", track="few-sizes", ipc=ipc)[1] for ipc in (1, 2))
    assert (one.division, two.division, one.comparable, two.comparable) == (
        "IPC 1",
        "IPC 2",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"ipc": 3}, "IPC 3 instead of 2"),
        ({"time_limit": 20}, "limit 20 s instead of 30 s"),
        ({"repeats": 1}, "1 repeats instead of 2"),
    ],
)
def test_a_run_that_differs_from_its_track_says_so(strange, tmp_path, asked, reason):
    _, record = run(strange, tmp_path, "good", **asked)
    assert record.status == "ok"
    assert (record.comparable, record.not_comparable_because) == (False, [reason])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"method": "godo"}, "did you mean good"),
        ({"track": "quick"}, "did you mean quickstart"),
        ({"dataset": "cifar11"}, "did you mean cifar"),
        ({"dataset": "cifar10"}, "track few has no dataset cifar10"),
        ({"students": ("convnet9",)}, "unknown student"),
        ({"ipc": 0}, "--ipc 0: expected"),
        ({"ipc": "-1"}, "--ipc -1: expected"),
        ({"ipc": "many"}, "--ipc many: expected"),
        ({"ipc": "1.5"}, "--ipc 1.5: expected"),
        ({"ipc": 10**9}, "expected a number from 1 to"),
        ({"time_limit": -1}, "--time-limit -1"),
        ({"time_limit": 0}, "--time-limit 0"),
        ({"time_limit": float("nan")}, "--time-limit nan"),
        ({"time_limit": float("inf")}, "--time-limit inf"),
        ({"time_limit": 86_401}, "--time-limit 86401"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 10**20}, "--seed 1000"),
        ({"repeats": -1}, "--repeats -1"),
        ({"options": ["nonsense"]}, "expected KEY=VALUE"),
        ({"options": ["size=3"]}, "good has no option 'size'; it has: none"),
        ({"method": "options", "options": ["number=x"]}, "number=x: expected int"),
        ({"method": "options", "options": ["share=x"]}, "share=x: expected float"),
        ({"method": "options", "options": ["share=nan"]}, "share=nan: expected a finite number"),
        ({"method": "options", "options": ["flag=x"]}, "flag=x: expected true or false"),
        ({"method": "options", "options": ["text=c"]}, "text=c: expected one of a, b"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_anything_begins(
    strange, tmp_path, asked, message
):
    with pytest.raises(UserError, match=re.escape(message)):
        run(strange, tmp_path, **{"method": "good", **asked})
    assert not (tmp_path / "runs").exists()


def test_runs_folder_that_cannot_be_made(strange, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        run(strange, tmp_path, "good", runs=tmp_path / "file" / "runs")


def test_missing_data_is_said_before_anything_begins(strange, tmp_path):
    with pytest.raises(UserError, match=r"dataset cifar100 is not in .*--download"):
        run(strange, tmp_path, "good", track="eccv2024-fixed", dataset="cifar100", data=tmp_path)
    here = tmp_path / "few"  # the track's first dataset
    shutil.copytree(datasets.FASHION_MNIST.bundled, here)
    with pytest.raises(UserError, match="dataset absent is not in"):
        plan(Request("good", track="half", data=tmp_path), strange)
    assert not (tmp_path / "runs").exists()


def test_options_that_only_look_like_paths_are_kept():
    values = [
        "a photo w/o a {name} /x/",
        "stabilityai/sdxl-turbo",
        "/home/alice/my models/turbo",
        "./turbo",
        "~/turbo",
        3,
        None,
    ]
    assert [harness._name(value) for value in values] == [
        values[0],
        values[1],
        "turbo",
        "turbo",
        "turbo",
        3,
        None,
    ]


def test_a_failing_score_keeps_the_images(strange, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise MemoryError("no room")

    monkeypatch.setattr("benchmark_adapters.scoring.evaluate.training.train", fail)
    folder, record = run(strange, tmp_path, "good")
    assert (record.status, record.accuracies, record.comparable) == ("error", [], False)
    assert record.message == "scoring failed, the images are kept: MemoryError: no room"
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_a_killed_score_goes_on_at_the_next_seed(strange, tmp_path, monkeypatch):
    """Killed while it trains the third of four students; the same run, made again, trains only what is missing."""
    from benchmark_adapters.scoring import training

    trained, train = [], training.train

    def fail_at_third(net, images, labels, recipe, seed, *rest, **named):
        trained.append(seed)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(net, images, labels, recipe, seed, *rest, **named)

    monkeypatch.setattr(training, "train", fail_at_third)
    asked = {"repeats": 2, "students": ["convnet3", "mlp"], "seed": 4}
    _, first = run(strange, tmp_path, "good", **asked)
    assert (first.status, first.message) == (
        "error",
        "scoring failed after 2 seeds, the images are kept: interrupted",
    )
    assert (first.seeds, len(first.accuracies), first.cross, first.comparable) == (
        [4, 5],
        2,
        {"mlp": []},
        False,
    )
    _, second = run(strange, tmp_path, "good", **asked)
    assert trained == [4, 5, 4, 4, 5]
    assert (second.status, second.accuracies, len(second.cross["mlp"])) == (
        "ok",
        first.accuracies,
        2,
    )
    assert not list((tmp_path / "runs" / ".unfinished").iterdir())
    _, third = run(strange, tmp_path, "good", **asked)  # nothing is taken over from a finished one
    assert trained[5:] == [4, 5, 4, 5]
    assert third.accuracies == second.accuracies


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_leaves_its_images_and_no_process(started, tmp_path, number):
    process = started(
        "run",
        "--method",
        "slow",
        "--track",
        "few",
        "--ipc",
        "5",
        "--device",
        "cpu",
        "--time-limit",
        "3600",
    )
    wait_for((tmp_path / "asleep").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    record = store.read(next(store.runs_in([tmp_path / "runs"])))
    assert (record.status, record.message, record.ipc) == ("error", "interrupted", 4)
    assert "status error: interrupted" in err


def test_a_killed_harness_takes_its_method_along(started, tmp_path):
    process = started(
        "run",
        "--method",
        "slow",
        "--track",
        "few",
        "--ipc",
        "5",
        "--device",
        "cpu",
        "--time-limit",
        "3600",
    )
    wait_for((tmp_path / "asleep").exists)
    process.kill()
    process.wait()
    wait_for(lambda: not processes_of_runs())


def test_balanced_takes_the_first_of_each_class_in_order():
    labels = np.array([0, 1, 1, 0, 0, 1])
    few = datasets.FASHION_MNIST.__class__(
        **{**vars(datasets.FASHION_MNIST), "class_names": ("a", "b")}
    )
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None]
    result = checks.balanced(pixels, labels, np.ones(6, bool), few, ipc=2)
    assert result.images.flatten().tolist() == [0, 3, 1, 2]
    assert result.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model folder /home/x/models/mine is no folder", "model folder mine is no folder"),
        ("see https://example.org/a/b", "see https://example.org/a/b"),
        ("stabilityai/sdxl-turbo", "stabilityai/sdxl-turbo"),
        ("~/models/mine", "mine"),
        ("file:/home/al:ice/a and //srv/alice/x", "a and x"),
        ("~alice/m, ../../home/alice/w", "m, w"),
        ("either/or and 1/2", "either/or and 1/2"),
    ],
)
def test_messages_in_records_name_no_folders(text, expected):
    assert harness.without_folders(text) == expected
