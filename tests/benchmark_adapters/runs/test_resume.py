"""Runs that were interrupted or killed go on where they stood."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_runs
from project import wait_for
from safetensors.numpy import load_file

from benchmark_adapters.execution import journal, supervisor
from benchmark_adapters.execution.batches import write_batch
from benchmark_adapters.execution.messages import BatchWritten
from benchmark_adapters.runs import pipeline, resume, unfinished
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.runs.sources import sessions
from benchmark_adapters.scoring import training
from benchmark_adapters.types import UserError
from leaderboard.records import store

FEW = ("--track", "few", "--device", "cpu")


@pytest.fixture(autouse=True)
def _marker(tmp_path, monkeypatch):
    """Name the file that methods create before they fall asleep."""
    monkeypatch.setenv("ASLEEP", str(tmp_path / "asleep"))


@pytest.fixture
def run(example_plugins, tmp_path):
    """Return a function that runs a method on the track few; it returns folder and record."""
    return lambda method, **values: small_runs.run(example_plugins, tmp_path, method, **values)


@pytest.fixture
def go_on(example_plugins, tmp_path):
    """Return a function that resumes the newest run; it returns folder and record."""

    def resumed():
        # The method may have been interrupted before it fell asleep.
        (tmp_path / "asleep").touch()
        folder = resume.resume(resume.find(None, tmp_path / "runs")[0], example_plugins)
        return folder, store.read(folder)

    return resumed


@pytest.fixture
def interrupt_after(monkeypatch):
    """Return a function that interrupts the next run after as many batches."""
    take = supervisor._Run.take

    def interrupt(batches):
        def counted(self, worker, event):
            take(self, worker, event)
            written = sum(len(one.outcome.batches) for one in self.workers)
            if isinstance(event, BatchWritten) and written == batches:
                monkeypatch.setattr(supervisor._Run, "take", take)
                raise KeyboardInterrupt

        monkeypatch.setattr(supervisor._Run, "take", counted)

    return interrupt


@pytest.fixture
def trained(monkeypatch):
    """Return the seeds that students were trained with; the first None raises an interruption."""
    seeds, train = [], training.train

    def counted(net, images, labels, recipe, seed, *rest, **named):
        if len(seeds) < seeds_until[0]:
            seeds.append(seed)
            return train(net, images, labels, recipe, seed, *rest, **named)
        seeds_until[0] = 100
        raise KeyboardInterrupt

    seeds_until = [100]
    monkeypatch.setattr(training, "train", counted)

    def interrupt_after(count):
        seeds_until[0] = count

    counted.interrupt_after = interrupt_after
    counted.seeds = seeds
    return counted


def kept(tmp_path):
    return sorted((tmp_path / "runs" / unfinished.FOLDER).glob("*"))


def images_of(folder):
    return load_file(folder / "images.safetensors")["images"]


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


def test_interrupted_sampling_goes_on_with_the_missing_images(
    run, go_on, interrupt_after, tmp_path
):
    interrupt_after(3)
    old_folder, old = run("naps", ipc=5)
    assert (old.status, old.ipc, old.failed_stage) == ("error", 3, "sampling")
    assert old.seconds.used >= old.seconds.load + old.seconds.generate
    folder, new = go_on()
    assert (new.status, new.ipc, new.sampled, new.n) == ("ok", 5, 50, 2)
    assert new.origin.resumes == old.run_id
    first, second = new.sessions
    assert (first.stage, first.seed, second.stage) == ("sampling", 0, "sampling")
    assert second.seed not in (None, 0)
    assert new.seconds.used == pytest.approx(first.used + second.used)
    assert first.used == pytest.approx(old.seconds.used, abs=0.01)
    # Those that existed are kept, and no image repeats.
    by_class = images_of(folder).reshape(10, 5, -1)
    assert np.array_equal(by_class[:, :3], images_of(old_folder).reshape(10, 3, -1))
    assert len(np.unique(by_class.reshape(50, -1), axis=0)) == 50
    assert "session 2" in (folder / "log.txt").read_text()
    assert kept(tmp_path) == []


def test_the_time_limit_covers_all_sessions(run, go_on, interrupt_after, tmp_path):
    """Half a second is left, in which no process can start."""
    interrupt_after(4)
    run("slow", ipc=50, repeats=0)
    spend(tmp_path, 28.5)
    _, record = go_on()
    assert (record.status, record.ipc, record.seconds.used) == ("timeout", 4, 30)
    # A killed process may have used a second more than it noted.
    assert [one.used for one in record.sessions] == [29.5, 0.5]


def spend(tmp_path, seconds):
    """Note that a run was killed after that many seconds."""
    (work,) = kept(tmp_path)
    with (work / "1" / journal.NAME).open("ab") as file:
        file.write(json.dumps({"seconds": seconds}).encode() + b"\n")


def test_a_run_whose_time_is_used_up_only_collects_its_images(
    run, go_on, interrupt_after, tmp_path
):
    interrupt_after(3)
    run("naps", ipc=50, repeats=0)
    spend(tmp_path, 29.5)
    _, record = go_on()
    assert (record.status, record.message) == (
        "timeout",
        "3 of 50 images per class by the time limit",
    )
    assert (record.seconds.used, record.sessions) == (30, [])


def test_as_many_images_as_fit_go_on_in_the_time_that_is_left(run, go_on, clock, interrupt_after):
    interrupt_after(3)
    old = run("naps", ipc="max", repeats=0)[1]
    clock.jump_after(batches=5)
    _, new = go_on()
    assert (old.ipc, new.status, new.ipc, new.seconds.used) == (3, "ok", 8, 30)


def test_a_complete_replacement_is_the_set(run, go_on, interrupt_after):
    interrupt_after(2)
    run("improves")
    folder, record = go_on()
    assert (record.status, record.ipc, set(images_of(folder).ravel())) == ("ok", 2, {2})


def test_every_process_goes_on(run, go_on, interrupt_after):
    interrupt_after(2)
    run("divided", ipc=12, processes=2, repeats=0)
    folder, record = go_on()
    assert (record.status, record.ipc, record.processes) == ("ok", 12, 2)
    assert images_of(folder).shape == (120, 1, 28, 28)


def test_a_damaged_batch_is_left_out(run, go_on, interrupt_after, tmp_path):
    interrupt_after(3)
    run("naps", ipc=4, repeats=0)
    (work,) = kept(tmp_path)
    sorted(work.rglob("*.safetensors"))[1].write_bytes(b"\0" * 100)
    _, record = go_on()
    assert (record.status, record.ipc, record.sampled) == ("ok", 4, 50)


def test_batches_of_other_classes_or_sizes_are_left_out(run, go_on, interrupt_after, tmp_path):
    interrupt_after(3)
    run("naps", ipc=4, repeats=0)
    (work,) = kept(tmp_path)
    first, second, _ = sorted(work.rglob("*.safetensors"))
    marks = np.ones(10, bool)
    write_batch(first, np.zeros((10, 1, 28, 28), np.uint8), np.arange(1, 11), marks)
    write_batch(second, np.zeros((10, 1, 32, 32), np.uint8), np.arange(10), marks)
    folder, record = go_on()
    assert (record.status, record.ipc) == ("ok", 4)
    assert images_of(folder).any((1, 2, 3)).all()


def test_a_run_without_notes_of_its_time_is_not_resumed(run, go_on, interrupt_after, tmp_path):
    interrupt_after(1)
    run("good", repeats=0)
    (work,) = kept(tmp_path)
    (work / "1" / journal.NAME).unlink()
    with pytest.raises(UserError, match="notes on session 1 of the run are missing"):
        go_on()
    # It can still be looked at, or removed.
    assert kept(tmp_path) == [work]


def test_an_incomplete_last_note_is_ignored(tmp_path):
    (tmp_path / journal.NAME).write_bytes(b'{"seconds":1.0}\n{"seconds":2.0}\n{"seco')
    assert [entry.seconds for entry in journal.read(tmp_path)] == [1, 2]


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


FORGER = """
import json
from pathlib import Path
import numpy as np
def distill(task, budget):
    for name, text in json.loads(Path(FORGED).read_text()).items():
        for run in Path(UNFINISHED).glob("*"):
            (run / "seeds").mkdir(exist_ok=True)
            (run / "seeds" / name).write_text(text)
    (run / "seeds" / "link.json").symlink_to(FORGED)
    source = np.random.default_rng(task.seed)
    for _ in range(task.ipc):
        yield source.integers(0, 256, (10, 1, 28, 28), dtype=np.uint8), np.arange(10)
"""


def test_a_method_that_writes_results_of_seeds_gains_nothing(
    run, go_on, trained, tmp_path, monkeypatch
):
    """It makes the images of an interrupted run, so it knows the names of the results."""
    whole = run("good", repeats=3)[1]
    trained.interrupt_after(5)
    run("good", repeats=3)
    (work,) = kept(tmp_path)
    forged = {path.name: perfect(path) for path in (work / "seeds").iterdir()}
    assert len(forged) == 2
    (tmp_path / "forged.json").write_text(json.dumps(forged))
    text = FORGER.replace("FORGED", repr(str(tmp_path / "forged.json")))
    (tmp_path / "forger.py").write_text(text.replace("UNFINISHED", repr(str(work.parent))))
    with pytest.warns(UserWarning, match=r"5 results of seeds .* can't be trusted: deleted"):
        _, record = run(str(tmp_path / "forger.py"), repeats=3)
    assert (record.images_sha256, record.accuracies) == (whole.images_sha256, whole.accuracies)
    assert (tmp_path / "forged.json").is_file()
    assert go_on()[1].accuracies == whole.accuracies


def perfect(path):
    """Return the result of a seed with every test image right, as text."""
    result = json.loads(path.read_text())
    sizes = [sum(row) for row in result["confusion"]]
    return json.dumps({**result, "accuracy": 1.0, "confusion": np.diag(sizes).tolist()})


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
    trained.interrupt_after(0)
    first = run("good", students=["mlp"], repeats=1)[1]
    trained.interrupt_after(0)
    second = run("good", students=["mlp"], repeats=1, seed=1)[1]
    done = ddbench("resume", path=[example_folder])
    assert done.returncode == 0, done.stderr
    assert f"going on with {second.run_id} (few / few / good, scoring)" in done.stderr
    assert f"can be resumed too: {first.run_id}" in done.stderr
    # A removed run is not resumed.
    assert ddbench("rm", first.run_id, "--yes").returncode == 0
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
    done = ddbench("resume", "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], len(record["accuracies"])) == ("ok", 3)
    whole = ddbench(*command, "--json", path=[example_folder])
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
    assert store.read(resume.resume(one, example_plugins)).status == "ok"
    shutil.rmtree(tmp_path / "home")


def test_seeds_of_sessions_differ_and_suit_every_generator(example_plugins):
    (plan,) = plan_runs(Request("good", track="few", device="cpu"), example_plugins)
    outcome = supervisor.Outcome(images=10)
    earlier = [sessions.Sampled(None, outcome)] * 2
    seeds = [sessions.seed(plan.sampling, earlier[:count]) for count in range(3)]
    assert len({*seeds}) == 3
    assert seeds[0] == 0
    assert max(seeds) < 2**28
    # Without images, nothing can repeat.
    nothing = sessions.Sampled(None, supervisor.Outcome())
    assert sessions.seed(plan.sampling, [nothing]) == 0
