"""Runs that were interrupted or killed go on where they stood."""

import json
import os
import shutil
from pathlib import Path
from signal import SIGKILL

import pytest
import small_runs
from installing import METHOD, install
from project import installed, wait_for
from small_runs import kept

from benchmark_adapters.execution import discovery
from benchmark_adapters.runs import pipeline, resume, unfinished
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.types import UserError
from leaderboard.records import store

FEW = ("--track", "few", "--device", "cpu")
CHANGES_CODE = (
    METHOD.replace("NAME", "changes")
    + """
from pathlib import Path
import numpy as np

def distill(task, budget):
    Path(__file__).with_name("extra.py").write_text("")
    source = np.random.default_rng(task.seed)
    for _ in range(task.ipc):
        yield source.integers(0, 256, (10, 1, 28, 28), dtype=np.uint8), np.arange(10)
"""
)


def test_interrupted_scoring_goes_on_with_the_next_seed(run, go_on, trained, tmp_path):
    settings = {"repeats": 2, "students": ["convnet3", "mlp"], "seed": 4}
    whole = run("good", **settings)[1]
    trained.seeds.clear()
    trained.interrupt_after(2)
    old_folder, old = run("good", **settings)
    assert (old.status, old.seeds, old.other_students, old.interrupted) == (
        "error",
        [4, 5],
        {"mlp": []},
        True,
    )
    before = {file.name: file.read_bytes() for file in old_folder.iterdir()}
    folder, new = go_on()
    assert trained.seeds == [4, 5, 4, 5]
    assert (new.status, new.accuracies, new.other_students) == (
        "ok",
        whole.accuracies,
        whole.other_students,
    )
    assert (new.images_sha256, new.comparable) == (whole.images_sha256, True)
    assert (new.confusion, new.seconds.used) == (whole.confusion, None)
    assert (new.origin.kind, new.origin.resumes) == ("method", old.run_id)
    assert [one.stage for one in new.sessions] == ["sampling", "scoring"]
    assert {file.name for file in folder.iterdir()} == set(before)
    # A saved run never changes.
    assert {file.name: file.read_bytes() for file in old_folder.iterdir()} == before
    assert kept(tmp_path) == []


def test_a_new_run_believes_no_seed_of_an_earlier_one(run, trained):
    trained.interrupt_after(1)
    run("good")
    run("good")
    assert trained.seeds == [0, 0, 1]


def test_a_run_that_is_killed_while_it_copies_images_keeps_its_seeds(
    run, go_on, trained, monkeypatch
):
    whole = run("good")[1]
    trained.interrupt_after(3)
    run("good")
    pid = os.fork()
    if not pid:
        monkeypatch.setattr(shutil, "copyfile", lambda *paths: os.kill(os.getpid(), SIGKILL))
        try:
            go_on()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == SIGKILL
    record = go_on()[1]
    assert (record.status, record.accuracies) == ("ok", whole.accuracies)
    assert trained.seeds == [0, 1, 0, 1]


def test_scoring_that_is_interrupted_twice_goes_on_twice(run, go_on, trained, tmp_path):
    whole = run("good", repeats=3)[1]
    trained.interrupt_after(4)
    first = run("good", repeats=3)[1]
    trained.interrupt_after(5)
    second = go_on()[1]
    assert (second.status, second.n, second.origin.resumes) == ("error", 2, first.run_id)
    third = go_on()[1]
    assert (third.status, third.accuracies) == ("ok", whole.accuracies)
    assert (third.origin.resumes, len(third.sessions)) == (second.run_id, 3)
    assert trained.seeds == [0, 1, 2, 0, 1, 2]


def test_finished_and_failed_runs_are_not_resumed(run, tmp_path):
    _, good = run("good", repeats=0)
    run("raises")
    run("too-few")
    assert kept(tmp_path) == []
    with pytest.raises(UserError, match="can be resumed"):
        resume.find(None, tmp_path / "runs")
    with pytest.raises(UserError, match="unknown, finished or still running"):
        resume.find(good.run_id, tmp_path / "runs")


def test_a_changed_method_or_environment_ends_a_run(
    example_plugins, run, go_on, interrupt_after, tmp_path, monkeypatch
):
    method = tmp_path / "noisy.py"
    text = (
        "import numpy as np\n"
        "def distill(task, budget):\n"
        "    while True:\n"
        "        yield np.full((10, 1, 28, 28), 7, np.uint8), np.arange(10)\n"
    )
    method.write_text(text)
    interrupt_after(1)
    run(str(method))
    method.write_text(text.replace("7", "8"))
    with pytest.raises(UserError, match=r"method of run .* has changed since it began"):
        go_on()
    method.write_text(text)
    here = unfinished.here
    with monkeypatch.context() as patch:
        patch.setattr(unfinished, "here", lambda: {**here(), "torch": "1.0"})
        with pytest.raises(UserError, match=r"began with torch .*, and here it is 1.0"):
            go_on()
    assert go_on()[1].status == "ok"


def test_changed_images_are_not_scored(run, go_on, trained):
    trained.interrupt_after(1)
    folder, _ = run("good")
    with (folder / "images.safetensors").open("r+b") as file:
        file.seek(-500, 2)
        file.write(b"\0" * 100)
    with pytest.raises(UserError, match=r"the images of run .* have changed"):
        go_on()


def test_interrupted_scoring_of_a_file_goes_on(
    ddbench, example_folder, submission, go_on, trained, untrained_probe, tmp_path
):
    command = ("score", "team/few.pt", "--format", "eccv2024", "--track", "few", "--name", "T")
    rest = ("--device", "cpu", "--json")
    whole = json.loads(ddbench(*command, *rest, path=[example_folder]).stdout)
    trained.interrupt_after(3)
    done = ddbench(*command, *rest, path=[example_folder])
    old = json.loads(done.stdout)
    assert f"go on with: ddbench resume {old['run_id']}" in done.stderr
    shutil.rmtree(tmp_path / "team")
    _, new = go_on()
    assert (new.status, new.accuracies, new.method) == ("ok", whole["accuracies"], "T")
    assert (new.origin.kind, new.origin.resumes, new.limit_enforced) == (
        "file",
        old["run_id"],
        False,
    )
    assert [(one.stage, one.seed) for one in new.sessions] == [("reading", None), ("scoring", None)]


def test_the_newest_run_goes_on_and_the_others_are_named(
    run, ddbench, example_folder, trained, tmp_path
):
    ids = []
    for seed in (0, 1):
        trained.interrupt_after(0)
        ids.append(run("good", students=["mlp"], repeats=1, seed=seed)[1].run_id)
    # Runs of the same second come in any order.
    first, second = sorted(ids)
    done = ddbench("resume", path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert f"going on with {second} (few / few / good, scoring)" in done.stderr
    assert f"can be resumed too: {first}" in done.stderr
    # A removed run is not resumed.
    assert ddbench("rm", first, "--yes").returncode == 0
    assert kept(tmp_path) == []


def test_a_killed_run_goes_on_under_its_id(started, ddbench, example_folder, tmp_path):
    command = ("run", "--method", "naps", *FEW, "--ipc", "5", "--repeats", "1")
    killed = started(*command, "--time-limit", "60")
    wait_for((tmp_path / "asleep").exists)
    listed = ddbench("resume", path=[example_folder])
    assert (listed.returncode, "can be resumed" in listed.stderr) == (2, True)
    killed.kill()
    killed.wait()
    (work,) = kept(tmp_path)
    assert f"can be resumed: {work.name} (few / few / naps, sampling)" in ddbench("runs").stderr
    done = ddbench("resume", work.name[:12], "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["run_id"], record["status"], record["ipc"]) == (work.name, "ok", 5)
    assert record["origin"]["resumes"] is None
    first, second = record["sessions"]
    assert 0 < first["used"] < 60
    assert record["seconds"]["used"] == pytest.approx(first["used"] + second["used"])
    assert kept(tmp_path) == []
    shown = ddbench("show", work.name).stdout
    assert f"with seed {second['seed']}" in shown


def test_a_run_that_is_killed_while_scoring_keeps_its_seeds(
    started, ddbench, example_folder, tmp_path
):
    """The process that trains falls asleep before the second of three seeds."""
    command = ("run", "--method", "good", *FEW, "--repeats", "3", "--students", "late")
    killed = started(*command)
    wait_for((tmp_path / "asleep").exists)
    killed.kill()
    killed.wait()
    (work,) = kept(tmp_path)
    (seed,) = (work / "seeds").iterdir()
    first = json.loads(seed.read_text())
    awake = {"ASLEEP": str(tmp_path / "asleep")}
    done = ddbench("resume", "--json", path=[example_folder], **awake)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], len(record["accuracies"])) == ("ok", 3)
    whole = ddbench(*command, "--json", path=[example_folder], **awake)
    assert record["accuracies"] == json.loads(whole.stdout)["accuracies"]
    assert record["accuracies"][0] == first["accuracy"]
    assert record["seconds"]["evaluate"] > first["seconds"]
    assert [one["stage"] for one in record["sessions"]] == ["sampling", "scoring"]
    assert kept(tmp_path) == []


def test_paths_of_a_request_start_where_the_run_began(
    example_plugins, tmp_path, interrupt_after, monkeypatch
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "own.py").write_text(
        "import numpy as np\n"
        "def distill(task, budget):\n"
        "    while True:\n"
        "        yield np.full((10, 1, 28, 28), 7, np.uint8), np.arange(10)\n"
    )
    monkeypatch.chdir(tmp_path / "home")
    interrupt_after(1)
    request = Request("own.py", track="few", runs=Path("runs"), device="cpu", repeats=0)
    (plan,) = plan_runs(request, example_plugins)
    pipeline.run(plan)
    monkeypatch.chdir(tmp_path)
    (one,) = resume.find(None, Path("home/runs"))
    record = store.read(resume.resume(one, example_plugins))
    assert (record.status, record.message) == ("ok", "")
    shutil.rmtree(tmp_path / "home")


def test_code_that_changes_while_a_method_runs_scores_nothing(example_folder, trained, tmp_path):
    site = tmp_path / "site"
    (site / "changes").mkdir(parents=True)
    install(site, "changes", CHANGES_CODE)
    (site / "changes.py").rename(site / "changes" / "__init__.py")
    with installed(example_folder, site):
        plugins = discovery.installed()
        folder, record = small_runs.run(plugins, tmp_path, "changes", repeats=1)
        assert (record.status, record.failed_stage, record.accuracies, trained.seeds) == (
            "error",
            "scoring",
            [],
            [],
        )
        assert "code changed while the method ran: changes/extra.py; reinstall" in record.message
        assert f"`ddbench resume {record.run_id}`" in record.message
        assert (folder / "images.safetensors").is_file()
        new = store.read(resume.resume(*resume.find(None, tmp_path / "runs"), plugins))
        (site / "changes" / "extra.py").unlink()
        with pytest.warns(UserWarning, match=r"code changed .*: changes/extra\.py; reinstall"):
            small_runs.run(plugins, tmp_path, "changes", repeats=0)
    assert (new.status, new.n, new.images_sha256) == ("ok", 1, record.images_sha256)
    assert (new.origin.resumes, trained.seeds) == (record.run_id, [0])


def test_a_run_that_begins_or_ends_leaves_nothing_behind_for_a_moment(run, tmp_path, monkeypatch):
    found = []

    def looking(work):
        def looked(*arguments, **named):
            found.append(store.leftovers([tmp_path / "runs"]))
            return work(*arguments, **named)

        return looked

    monkeypatch.setattr(unfinished, "here", looking(unfinished.here))
    monkeypatch.setattr(unfinished, "end", looking(unfinished.end))
    run("good", repeats=0)
    assert found == [[], []]


def test_what_a_run_is_resumed_from_is_named_and_removed_on_demand(run, ddbench, trained, tmp_path):
    trained.interrupt_after(0)
    _, record = run("good", students=["mlp"], repeats=1)
    (work,) = kept(tmp_path)
    (work.parent / "link").symlink_to(tmp_path)
    listed = ddbench("runs").stderr
    assert f"can be resumed: {record.run_id}" in listed
    assert f"unfinished: runs/.unfinished/{work.name}, what a run that was cut off" in listed
    assert ddbench("rm", "--unfinished", "--yes").returncode == 0
    assert kept(tmp_path) == [work.parent / "link"]
    assert ddbench("resume").returncode == 2
    assert len(json.loads(ddbench("runs", "--json").stdout)) == 1
