"""`ddbench sweep` makes each run once, whatever happens to its workers."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_runs
from small_runs import kept, seed_files

from benchmark_adapters.runs import resume
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.jobs import alone
from leaderboard.records import store

GRID = ("--method", "good", "--method", "divided", "--track", "few", "--device", "cpu")
FOUR = (*GRID, "--seed", "0..1", "--threads", "1")


def records(tmp_path):
    """Return the records of all runs by method and seed."""
    found = [record for _, record in store.entries([tmp_path / "runs"])[0]]
    assert len({(one.method, one.seed) for one in found}) == len(found)
    return {(one.method, one.seed): one for one in found}


def steps(engine, name):
    """Return how often a step was done."""
    return sum(done[0] == name for done in engine.done)


def test_a_dry_run_counts_and_makes_nothing(sweep, inline, tmp_path):
    done = sweep(*FOUR, "--ipc", "1,2", "--dry-run")
    assert done.returncode == 0
    assert "8 runs, 0 of them finished, 8 to make" in done.stderr
    assert "up to 4 min to make the sets" in done.stderr
    assert (inline.done, (tmp_path / "runs").exists()) == ([], False)


def test_a_sweep_scores_as_run_does_and_makes_nothing_twice(
    sweep, inline, example_plugins, tmp_path
):
    done = sweep(*FOUR)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("good") == 2
    made = records(tmp_path)
    assert (steps(inline, "begin"), steps(inline, "train"), steps(inline, "finish")) == (4, 8, 4)
    for method, seed in made:
        plain = small_runs.run(example_plugins, tmp_path / "plain", method, seed=seed)[1]
        swept = made[method, seed]
        assert (swept.accuracies, swept.confusion) == (plain.accuracies, plain.confusion)
        assert (swept.comparable, swept.images_sha256) == (True, plain.images_sha256)
    assert kept(tmp_path) == []
    again = sweep(*FOUR, "--json")
    assert "4 runs, 4 of them finished, 0 to make" in again.stderr
    assert {one["run_id"] for one in json.loads(again.stdout)} == {
        one.run_id for one in made.values()
    }
    assert len(inline.done) == 16


@pytest.mark.parametrize("step", [tasks.begin, tasks.train, tasks.finish])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_task_is_done_again_alone(sweep, inline, tmp_path, step, when):
    lost = []

    def once(task):
        is_lost = task.function is step and not lost
        lost.extend([task] if is_lost else [])
        return is_lost

    setattr(inline, "loses" if when == "before" else "after", once)
    done = sweep("--method", "good", "--track", "few", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "its worker was killed" in done.stderr
    assert set(records(tmp_path)) == {("good", 0)}
    extra = {"train": 0, "finish": 0, "begin": 0}
    # A set that was made, or a record that was written, is not lost with its worker.
    if when == "after" and step is not tasks.begin:
        extra[step.__name__] = 1
    expected = {"begin": 1, "train": 2, "finish": 1}
    assert {name: steps(inline, name) - expected[name] for name in expected} == extra


def test_a_task_that_loses_every_worker_fails_its_run_alone(sweep, inline, tmp_path):
    inline.loses = lambda task: task.function is tasks.begin and "good" in str(task.arguments[0])
    done = sweep(*GRID)
    assert done.returncode == 1
    assert "failed: few / few / good" in done.stderr
    assert "4 times while making" in done.stderr
    assert set(records(tmp_path)) == {("divided", 0)}


def test_a_failed_method_is_in_the_table_and_made_again(sweep, inline, tmp_path):
    words = ("--method", "raises", "--method", "good", "--track", "few", "--device", "cpu")
    done = sweep(*words, "--repeats", "1")
    assert (done.returncode, "the model exploded" in done.stderr) == (1, True)
    assert "raises" in done.stdout
    again = sweep(*words, "--repeats", "1", "--dry-run")
    assert "2 runs, 1 of them finished, 1 to make" in again.stderr


def test_an_interrupted_sweep_goes_on_without_training_a_seed_again(sweep, inline, tmp_path):
    """The coordinator is gone after five students; the second command trains the other three."""

    def stop(task):
        if steps(inline, "train") == 5:
            raise KeyboardInterrupt

    inline.after = stop
    interrupted = sweep(*FOUR)
    assert interrupted.returncode == 1
    assert "the same command goes on" in interrupted.stderr
    ids = {work.name for work in kept(tmp_path)}
    assert len(ids) == 4
    # Nobody who looks meanwhile takes an unfinished run for a failed one.
    assert store.entries([tmp_path / "runs"])[0] == []
    inline.after, inline.waiting = lambda task: False, {}
    done = sweep(*FOUR)
    assert done.returncode == 0, done.stderr
    assert {one.run_id for one in records(tmp_path).values()} == ids
    # The fifth student's answer never arrived.
    assert (steps(inline, "begin"), steps(inline, "train"), steps(inline, "finish")) == (4, 9, 4)


def test_an_interrupted_sweep_can_be_finished_by_hand(
    sweep, inline, example_plugins, tmp_path, monkeypatch
):
    def stop(task):
        if task.function is tasks.finish:
            raise KeyboardInterrupt

    inline.loses = stop
    sweep("--method", "good", "--track", "few", "--device", "cpu", "--threads", "1")
    (one,) = resume.find(None, tmp_path / "runs")
    monkeypatch.setattr("benchmark_adapters.scoring.training.train", None)
    assert store.read(resume.resume(one, example_plugins)).status == "ok"


def test_results_that_others_write_are_not_used(sweep, inline, tmp_path):
    """Something replaces the kept results by perfect ones, and the plan and the record by lies."""

    def forge(task):
        if task.function is tasks.train:
            (work,) = kept(tmp_path)
            for file in seed_files(work):
                result = json.loads(file.read_text())
                sizes = np.diag([sum(row) for row in result["confusion"]]).tolist()
                file.write_text(json.dumps({**result, "accuracy": 1.0, "confusion": sizes}))
            (work / "plan.json").write_text("{}")
            (work / "draft.json").write_text("{}")

    words = ("--method", "good", "--track", "few", "--device", "cpu", "--threads", "1")
    whole = json.loads(sweep(*words, "--json", "--runs", "honest").stdout)
    inline.after = forge
    done = sweep(*words, "--json")
    assert done.returncode == 0, done.stderr
    forged = json.loads(done.stdout)
    assert (forged["status"], forged["accuracies"]) == ("ok", whole["accuracies"])


def test_results_that_a_guard_deleted_are_kept_again(sweep, inline, tmp_path):
    """A guard deletes them if a method ran on another machine meanwhile."""
    folders = []

    def delete(task):
        if task.function is tasks.train and len(inline.done) == 2:
            folders.extend(work / "seeds" for work in kept(tmp_path))
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        if task.function is tasks.finish:
            assert all(len(list(folder.iterdir())) == 2 for folder in folders if folder.exists())

    inline.loses = delete
    assert sweep("--method", "good", "--track", "few", "--device", "cpu").returncode == 0
    assert folders


def test_a_seed_that_fails_is_tried_once_more_by_the_last_step(sweep, inline, monkeypatch):
    train, failures = tasks.train, []

    def fails_once(run, student, seed):
        if not failures:
            failures.append(seed)
            raise RuntimeError("out of memory")
        return train(run, student, seed)

    monkeypatch.setattr(tasks, "train", fails_once)
    done = sweep("--method", "good", "--track", "few", "--device", "cpu", "--json")
    assert (done.returncode, "RuntimeError: out of memory" in done.stderr) == (0, True)
    assert len(json.loads(done.stdout)["accuracies"]) == 2


def test_a_sweep_has_its_runs_folder_for_itself(sweep, inline, tmp_path):
    """A second one is refused, and what waits for its students is not offered for removal."""
    runs = tmp_path / "runs"
    (runs / ".unfinished" / "one").mkdir(parents=True)
    with alone(runs):
        done = sweep(*GRID)
        assert store.leftovers([runs]) == []
    assert (done.returncode, "another sweep works in the runs folder" in done.stderr) == (2, True)
    assert len(store.leftovers([runs])) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name a plan, PLAN.toml, or at least one --method"),
        (("plan.toml", "--seed", "1"), "--seed can't be given with a plan"),
        ((*GRID, "--workers", "0"), "--workers 0: expected 1 to"),
        ((*GRID, "--address", "auto"), "add --engine ray"),
        ((*GRID, "--threads", "0"), "--threads 0: expected 1 to"),
        ((*GRID, "--ipc", "1;2"), "ipc 1;2: expected numbers"),
    ],
)
def test_wrong_usage_is_one_line(sweep, words, message):
    done = sweep(*words)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr


def test_other_settings_are_other_runs(example_plugins, tmp_path, methods_here):
    """What decides a result decides whether a run is finished."""
    from benchmark_adapters.runs.request import Request, plan_runs
    from benchmark_adapters.sweeps.finished import Finished

    record = small_runs.run(example_plugins, tmp_path, "divided", repeats=1)[1]
    same = Request("divided", track="few", device="cpu", repeats=1)
    finished = Finished([record])

    def found(request):
        (plan,) = plan_runs(request, example_plugins)
        return finished.run(plan)

    assert found(same) == record
    assert found(replace(same, options=("dies=-1",))) == record
    for changes in (
        {"seed": 1},
        {"ipc": 1},
        {"repeats": 2},
        {"repeats": 0},
        {"students": ("mlp",)},
        {"students": ("convnet3", "mlp")},
        {"options": ("dies=5",)},
        {"time_limit": 20.0},
        {"processes": 2},
        {"track": "hidden"},
        {"method": "good"},
    ):
        assert found(replace(same, **changes)) is None, changes
    (plan,) = plan_runs(same, example_plugins)
    assert Finished([replace(record, status="error")]).run(plan) is None
    assert Finished([replace(record, recipe_sha256="0")]).run(plan) is None
