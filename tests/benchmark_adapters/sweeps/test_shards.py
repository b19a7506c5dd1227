"""Sets that a sweep makes in shards, each on a machine of its own, and joins."""

import shutil
from dataclasses import replace

import pytest
import small_runs
from small_runs import kept

from benchmark_adapters.runs import merge
from benchmark_adapters.runs.request import Request
from benchmark_adapters.sweeps import tasks
from leaderboard.records import store

WORDS = ("--method", "divided", "--track", "few", "--ipc", "9", "--shards", "3", "--device", "cpu")
ONE_THREAD = (*WORDS, "--threads", "1")
PLAN = """
track = "few"
ipc = 20
device = "cpu"

[[method]]
name = "divided"
shards = 2
"""


def runs(tmp_path, name="runs"):
    """Return the shards of all sets, and the joined sets."""
    records = [record for _, record in store.entries([tmp_path / name])[0]]
    shards = sorted((one for one in records if one.shard), key=lambda one: one.shard)
    return shards, [one for one in records if not one.shard]


def steps(engine):
    """Return how often each step was done."""
    names = [done[0] for done in engine.done]
    return tuple(names.count(name) for name in ("begin", "train", "finish"))


def test_the_set_is_that_of_run_and_merge(sweep, inline, example_plugins, tmp_path):
    done = sweep(*ONE_THREAD)
    assert done.returncode == 0, done.stderr
    shards, (joined,) = runs(tmp_path)
    assert [one.shard for one in shards] == ["0/3", "1/3", "2/3"]
    assert [one.run_id for one in joined.origin.shards] == [one.run_id for one in shards]
    assert steps(inline) == (4, 2, 1)
    values = {"ipc": 9, "seed": 0}
    folders = [
        small_runs.run(example_plugins, tmp_path / "plain", "divided", shard=f"{n}/3", **values)[0]
        for n in range(3)
    ]
    request = Request(runs=tmp_path / "plain", device="cpu", threads=1)
    plain = store.read(merge.merge(folders, example_plugins, request))
    for name in ("images_sha256", "accuracies", "confusion", "seeds", "options", "sampled", "ipc"):
        assert getattr(joined, name) == getattr(plain, name), name
    assert joined.not_comparable_because == plain.not_comparable_because
    assert joined.device_seconds == pytest.approx(sum(one.seconds.sampling for one in shards))
    assert kept(tmp_path) == []
    assert "0 of 1 run, 2 of 3 shards, " in done.stderr
    # The table shows the set, and not its shards.
    assert done.stdout.count("divided") == 1
    again = sweep(*ONE_THREAD)
    assert "1 run, 1 of them finished, 0 to make" in again.stderr
    assert steps(inline) == (4, 2, 1)


def test_a_dry_run_counts_shards_and_the_time_of_one_machine(sweep, inline, tmp_path):
    done = sweep(*WORDS, "--seed", "0..1", "--dry-run")
    assert "2 runs, 0 of them finished, 2 to make, 6 of 6 shards to make" in done.stderr
    # Six limits of 30 s, and twice the time to join.
    assert "up to 4 min to make the sets" in done.stderr
    assert (inline.done, (tmp_path / "runs").exists()) == ([], False)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [2, 4])
def test_a_lost_machine_costs_only_its_unfinished_shard(sweep, inline, tmp_path, when, number):
    """The second shard or the step that joins them is lost, before it began or when it was done."""
    lost = []

    def once(task):
        is_lost = task.function is tasks.begin and steps(inline)[0] == number - (when == "before")
        is_lost = is_lost and not lost
        lost.extend([task] if is_lost else [])
        return is_lost

    setattr(inline, "loses" if when == "before" else "after", once)
    done = sweep(*WORDS)
    assert done.returncode == 0, done.stderr
    assert len(lost) == 1
    shards, joined = runs(tmp_path)
    assert (len(shards), len(joined)) == (3, 1)
    assert steps(inline) == (4, 2, 1)


def test_the_same_command_goes_on_with_the_missing_shards_and_seeds(sweep, inline, tmp_path):
    def stop(task):
        if steps(inline) in ((2, 0, 0), (4, 1, 0)):
            raise KeyboardInterrupt

    inline.after = stop
    for made in ((2, 0, 0), (4, 1, 0)):
        interrupted = sweep(*WORDS)
        assert "the same command goes on" in interrupted.stderr
        assert steps(inline) == made
        inline.waiting = {}
    (work,) = kept(tmp_path)
    assert "1 run, 0 of them finished, 1 to make, 0 of 3 shards to make" in (
        sweep(*WORDS, "--dry-run").stderr
    )
    inline.after = lambda task: False
    done = sweep(*WORDS)
    assert done.returncode == 0, done.stderr
    shards, (joined,) = runs(tmp_path)
    assert (len(shards), joined.run_id, len(joined.accuracies)) == (3, work.name, 2)
    # The answer of the first student never arrived.
    assert steps(inline) == (4, 3, 1)


def test_a_failed_shard_fails_its_set_and_is_made_again(sweep, inline, tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    inline.loses = lambda task: getattr(task.arguments[0], "request", Request()).shard == "1/2"
    done = sweep("plan.toml")
    assert (done.returncode, "4 times while making" in done.stderr) == (1, True), done.stderr
    (first,), (joined,) = runs(tmp_path)
    assert (joined.status, joined.message) == ("error", "shard 1/2: missing")
    again = sweep("plan.toml", "--dry-run")
    assert "1 run, 0 of them finished, 1 to make, 1 of 2 shards to make" in again.stderr
    inline.loses = lambda task: False
    assert sweep("plan.toml").returncode == 0
    (one, other), both = runs(tmp_path)
    (joined,) = [record for record in both if record.status == "ok"]
    assert (one, joined.ipc, len(both)) == (first, 20, 2)
    assert [shard.run_id for shard in joined.origin.shards] == [one.run_id, other.run_id]


def test_a_shard_that_changes_meanwhile_is_not_joined(sweep, inline, tmp_path):
    """A method on another machine replaces one by a copy of another, with a fitting record."""

    def forge(task):
        if steps(inline)[0] == 3 and inline.waiting == {}:
            made = {record.shard: at for at, record in store.entries([tmp_path / "runs"])[0]}
            first, second = (store.read(made[f"{number}/3"]) for number in range(2))
            shutil.copy(made["1/3"] / "images.safetensors", made["0/3"])
            forged = replace(first, images_sha256=second.images_sha256)
            store.write(made["0/3"], forged)

    inline.after = forge
    done = sweep(*WORDS)
    assert (done.returncode, "has changed since it was made" in done.stderr) == (1, True)
    assert runs(tmp_path)[1] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "good", "--track", "few"), "good can't be divided among processes or shards"),
        (("--method", "generative-turbo"), "select and refine need a single process"),
        (("--method", "divided", "--track", "few", "--shards", "0"), "--shards 0: expected 1 to"),
    ],
)
def test_what_can_not_be_divided_is_refused_before_any_work(sweep, tmp_path, words, message):
    done = sweep("--device", "cpu", "--shards", "2", *words)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "runs").exists()
