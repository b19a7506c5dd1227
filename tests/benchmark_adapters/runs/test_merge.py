"""Several processes or shards generate the set of one process, even if some of them fail."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import small_runs
from safetensors.numpy import load_file

from benchmark_adapters.runs import merge as merging
from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.types import UserError
from leaderboard.records import store
from leaderboard.records.record import Reason


@pytest.fixture
def run(example_plugins, tmp_path):
    """Return a function that runs the method ``divided`` and returns the folder and the record."""
    return partial(small_runs.run, example_plugins, tmp_path, "divided")


@pytest.fixture
def merge(example_plugins, tmp_path):
    """Return a function that merges shards and returns the folder and the record."""

    def merge(*folders, **values):
        request = Request(runs=tmp_path / "runs", device="cpu", **values)
        folder = merging.merge(folders, example_plugins, request)
        return folder, store.read(folder)

    return merge


def values(folder):
    """Return the first pixel of each image, class by class."""
    tensors = load_file(folder / "images.safetensors")
    assert np.bincount(tensors["labels"]).tolist() == [len(tensors["labels"]) // 10] * 10
    assert tensors["labels"].tolist() == sorted(tensors["labels"].tolist())
    return tensors["images"][:, 0, 0, 0].reshape(10, -1).tolist()


@pytest.mark.parametrize("ipc", [2, 5, 10])
def test_several_processes_generate_the_set_of_one(run, ipc):
    _, alone = run(ipc=ipc)
    folder, together = run(ipc=ipc, processes=3)
    # Images are ordered by index, and copies come after the image that they copy.
    assert values(folder) == [list(range(ipc))] * 10
    assert together.images_sha256 == alone.images_sha256
    assert together.accuracies == alone.accuracies
    assert (together.status, together.generated_per_class) == ("ok", -(-ipc // 2))
    assert together.processes == 3
    assert together.comparable == (ipc == 2)


@pytest.mark.parametrize("processes", [1, 2])
def test_shards_merge_into_the_set_of_one_process(run, merge, processes):
    _, alone = run(ipc=9)
    shards = [run(ipc=9, shard=f"{number}/3", processes=processes) for number in range(3)]
    for number, (_, record) in enumerate(shards):
        assert (record.status, record.shard, record.accuracies) == ("ok", f"{number}/3", [])
        assert record.not_comparable_because == [Reason("shard", f"shard {number} of 3")]
    folder, joined = merge(*(folder for folder, _ in reversed(shards)))
    assert joined.images_sha256 == alone.images_sha256
    assert joined.accuracies == alone.accuracies
    assert (joined.status, joined.ipc, joined.model) == ("ok", 9, "indices")
    assert joined.seed == alone.seed
    assert [reason.code for reason in joined.not_comparable_because] == ["merged", "ipc"]
    assert [origin.run_id for origin in joined.origin.shards] == [
        record.run_id for _, record in reversed(shards)
    ]
    assert all(origin.versions["torch"] for origin in joined.origin.shards)
    assert joined.sampled == 50
    slowest = max((record.seconds for _, record in shards), key=lambda one: one.sampling)
    assert (joined.seconds.load, joined.seconds.generate) == (slowest.load, slowest.generate)
    assert (folder / "grid.png").exists()


TRACK = """name = "sprint"
datasets = ["few"]
bundled_data = true
time_limit = 30
ipc = [4]
recipe = "few/1"
repeats = 2
devices = 2
"""


def test_a_track_of_two_devices_ranks_a_set_of_two_shards(
    ddbench, example_folder, methods_here, tmp_path
):
    (tmp_path / "sprint.toml").write_text(TRACK)
    here = {"path": [example_folder]}
    run = ("run", "--method", "divided", "--track", "sprint.toml", "--device", "cpu", "--json")

    def merged(count):
        """Return the set of so many shards, and its row in the leaderboard."""
        shards = [
            json.loads(ddbench(*run, "--shard", f"{number}/{count}", **here).stdout)["run_id"]
            for number in range(count)
        ]
        without = ddbench("merge", *shards, **here)
        assert (without.returncode, "add --track FILE.toml" in without.stderr) == (2, True)
        words = ("merge", *shards, "--track", "sprint.toml", "--device", "cpu", "--json")
        joined = json.loads(ddbench(*words, **here).stdout)
        board = ddbench("leaderboard", "--track", "sprint.toml", "--format", "json", **here)
        return joined, {row["run_id"]: row for row in json.loads(board.stdout)}[joined["run_id"]]

    for count, devices in ((3, 3), (2, 2)):
        joined, row = merged(count)
        assert row["devices"] == devices
        took = [shard["seconds"] for shard in joined["origin"]["shards"]]
        total = sum(one["load"] + one["generate"] for one in took)
        assert row["device_seconds"] == pytest.approx(total)
        assert bool(row["rank"]) == joined["comparable"] == (count == 2)
    again = json.loads(
        ddbench(
            "score", joined["run_id"], "--track", "sprint.toml", "--seed", "7", "--json", **here
        ).stdout
    )
    assert (again["comparable"], len(again["origin"]["shards"])) == (True, 2)
    (tmp_path / "sprint.toml").write_text(TRACK.replace("devices = 2\n", ""))
    words = ("merge", *(one["run_id"] for one in joined["origin"]["shards"]))
    done = ddbench(*words, "--track", "sprint.toml", **here)
    assert (done.returncode, "made with other rules" in done.stderr) == (2, True)


def test_shards_of_different_numbers_of_processes_are_not_merged(run, merge, methods_here):
    """They would lack some images, and have others twice."""
    shards = [run(ipc=4, shard=f"{number}/2", processes=1 + number)[0] for number in range(2)]
    with pytest.raises(UserError, match="they differ in: processes"):
        merge(*shards)


def test_shards_may_have_no_images_to_generate(run, merge):
    _, alone = run(ipc=3)
    shards = [run(ipc=3, shard=f"{number}/3") for number in range(3)]
    assert [(record.status, record.ipc) for _, record in shards] == [
        ("ok", 2),
        ("ok", 2),
        ("ok", 0),
    ]
    _, joined = merge(*(folder for folder, _ in shards))
    assert (joined.status, joined.images_sha256) == ("ok", alone.images_sha256)


def test_merge_refuses_shards_with_different_decoders(run, merge):
    shards = [run(ipc=4, shard=f"{number}/2") for number in range(2)]
    folder, record = shards[1]
    (folder / "record.json").write_text(
        replace(record, metadata={**record.metadata, "decoder": "tiny"}).to_json()
    )
    with pytest.raises(UserError, match="they differ in: decoder"):
        merge(*(folder for folder, _ in shards))


def left_alone(dead):
    """Return a condition: the process ``dead`` has died, and the other has run on for a while."""
    return lambda workers: (
        workers[dead].process.poll() is not None and len(workers[1 - dead].outcome.batches) >= 12
    )


def test_metadata_comes_from_a_surviving_process(run, clock):
    clock.jump_when(left_alone(0))
    _, record = run(ipc="max", time_limit=3600, processes=2, options=["dies=0"], repeats=0)
    assert (record.status, record.model, record.batch) == ("ok", "indices", 10)
    assert record.processes == 2


def test_killed_process_loses_only_its_unfinished_batch(run, clock):
    clock.jump_when(left_alone(1))
    folder, record = run(ipc="max", time_limit=3600, processes=2, options=["dies=1"], repeats=0)
    assert record.status == "ok"
    assert record.message == "process 2 of 2: the method's process was killed by signal SIGKILL"
    (row, *_) = values(folder)
    # There are two batches of each process.
    assert row[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    # All others come from the surviving process.
    assert row[8:12] == [8, 9, 12, 13]
    assert record.ipc > 20


def test_killed_process_fails_a_run_of_fixed_ipc(run):
    folder, record = run(ipc=20, processes=2, options=["dies=0"])
    assert record.status == "error"
    assert record.message == "process 1 of 2: the method's process was killed by signal SIGKILL"
    assert record.accuracies == []
    # There are two batches of the killed process and all five of the other one.
    assert len(values(folder)[0]) == record.ipc == 14


def test_missing_shard_leaves_a_smaller_set_with_max_ipc(run, merge, clock):
    clock.jump_after(4)
    shards = [run(ipc="max", shard=f"{number}/3")[0] for number in range(2)]
    folder, joined = merge(*shards, repeats=1)
    assert (joined.status, joined.message) == ("ok", "shard 2/3: missing")
    assert values(folder)[0][:8] == [0, 1, 2, 3, 6, 7, 8, 9]
    assert joined.n == 1


def test_missing_shard_fails_a_set_of_fixed_ipc(run, merge):
    _, joined = merge(run(ipc=8, shard="0/2")[0])
    assert (joined.status, joined.message, joined.ipc, joined.accuracies) == (
        "error",
        "shard 1/2: missing",
        4,
        [],
    )


def test_merge_refuses_folders_that_are_not_shards_of_one_set(run, merge, tmp_path):
    first, _ = run(ipc=4, shard="0/2")
    other_seed, _ = run(ipc=4, shard="1/2", seed=1)
    whole, _ = run()
    with pytest.raises(UserError, match=r"are not shards of the same set; they differ in: seed$"):
        merge(first, other_seed)
    with pytest.raises(UserError, match="is not a shard; generate shards with"):
        merge(first, whole)
    with pytest.raises(UserError, match="are both shard 0/2"):
        merge(first, first)
    with pytest.raises(UserError, match=r"record\.json"):
        merge(first, tmp_path)
    other_limit, _ = run(ipc=4, shard="1/2", time_limit=20)
    with pytest.raises(UserError, match="they differ in: time limit"):
        merge(first, other_limit)


def test_damaged_shards_are_named_and_not_merged(run, merge, tmp_path):
    shards = [run(ipc=4, shard=f"{number}/2")[0] for number in range(2)]
    images = shards[1] / "images.safetensors"
    images.write_bytes(images.read_bytes()[:100])
    with pytest.raises(UserError, match=f"{images}: not readable as safetensors"):
        merge(*shards)
    images.unlink()
    with pytest.raises(UserError, match=f"{images} is missing"):
        merge(*shards)
    assert len(list(store.runs_in([tmp_path / "runs"]))) == 2


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"shard": "2/2"}, "--shard 2/2: expected I/N with I from 0 to N - 1"),
        ({"shard": "one"}, "--shard one: expected I/N"),
        ({"processes": 0}, "--processes 0: expected 1 to 1024"),
        ({"method": "good", "processes": 2}, "good can't be divided among processes or shards"),
        ({"method": "good", "shard": "0/2"}, "good can't be divided"),
    ],
)
def test_plan_runs_refuses_wrong_processes_and_shards(example_plugins, settings, problem):
    with pytest.raises(UserError, match=problem):
        plan_runs(Request(**{"method": "divided", "track": "few", **settings}), example_plugins)


def test_each_process_gets_its_own_gpu(monkeypatch):
    """Two GPUs are faked, so that the test runs without any."""
    from benchmark_adapters.execution import devices

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.environments("cuda", 2) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    with pytest.raises(
        UserError, match="--processes 3: each process needs its own GPU; available: 2"
    ):
        devices.environments("auto", 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert devices.environments("cuda", 2) == [
        {"CUDA_VISIBLE_DEVICES": "5"},
        {"CUDA_VISIBLE_DEVICES": "7"},
    ]


def test_generative_turbo_is_equal_in_processes_and_shards(ddbench, methods_here, tmp_path):
    """Images from one process, two processes and two shards differ by at most one level."""
    common = ["run", "--method", "generative-turbo", "--ipc", "6", "--option", "copies=1", "--json"]
    both = json.loads(ddbench(*common, "--repeats", "0", "--processes", "2").stdout)
    alone = json.loads(ddbench(*common, "--repeats", "0").stdout)
    shards = [json.loads(ddbench(*common, "--shard", f"{number}/2").stdout) for number in range(2)]
    done = ddbench("merge", *(record["run_id"] for record in shards), "--repeats", "0", "--json")
    assert done.returncode == 0, done.stderr
    joined = json.loads(done.stdout)
    images = {}
    for name, record in (("alone", alone), ("both", both), ("joined", joined)):
        (folder,) = (tmp_path / "runs").glob(f"*/*/*/{record['run_id']}")
        images[name] = load_file(folder / "images.safetensors")["images"].astype(int)
        assert record["ipc"] == 6
        assert record["generated_per_class"] == 3
    assert np.abs(images["both"] - images["alone"]).max() <= 1
    assert np.abs(images["joined"] - images["alone"]).max() <= 1


def test_merge_refuses_shards_of_a_changed_recipe(run, merge, example_plugins):
    """Shards are scored with the recipe that they were generated for."""
    first, record = run(ipc=4, shard="0/2")
    changed = replace(record, recipe_sha256="0" * 64)
    (first / "record.json").write_text(changed.to_json())
    with pytest.raises(UserError, match="a different version of recipe few/1"):
        merge(first)
