"""Runs rerun from their records give the same results, or the command says what differs."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
import small_runs
from project import installed

from benchmark_adapters.execution import discovery
from benchmark_adapters.runs import pipeline, rerun
from benchmark_adapters.runs.request import Request, plan_runs
from leaderboard import stats
from leaderboard.records import store
from leaderboard.records.record import Origin, ScoringRuntime

pytestmark = pytest.mark.usefixtures("untrained_probe")


@pytest.fixture(scope="module")
def good(example_folder, tmp_path_factory):
    """Return the folder of a run with two students."""
    request = Request(
        "good",
        track="few",
        seed=3,
        students=("convnet3", "mlp"),
        device="cpu",
        runs=tmp_path_factory.mktemp("made") / "runs",
    )
    with installed(example_folder):
        (plan,) = plan_runs(request, discovery.installed())
        return pipeline.run(plan)


@pytest.fixture
def edited(good, tmp_path):
    """Return a function that copies the run and changes its record."""

    def edit(**changes):
        folder = shutil.copytree(good, tmp_path / "edited")
        (folder / "record.json").write_text(
            json.dumps(json.loads((good / "record.json").read_text()) | changes)
        )
        return folder

    return edit


def again(plugins, tmp_path, folder, *options):
    """Rerun a run; return the old and the new record."""
    record = store.read(folder)
    request = Request("", options=options, device="cpu", runs=tmp_path / "again")
    new = rerun.prepare(folder, record, request, plugins).make()
    return record, store.read(new)


def run(plugins, tmp_path, method, **values):
    """Run ``method`` on the track ``few`` without a score; return the folder."""
    folder, _ = small_runs.run(plugins, tmp_path, method, **{"repeats": 0} | values)
    return folder


def test_rerun_agrees_with_its_run(ddbench, example_folder, good, tmp_path):
    done = ddbench("rerun", good, path=[example_folder])
    record, new = store.read(good), store.read(next(store.runs_in([tmp_path / "runs"])))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "status: the same (ok)",
        f"images: the same (sha256 {record.images_sha256[:12]})",
        "accuracies: the same, seeds: 2",
    ]
    assert not any(f"warning: {name}" in done.stderr for name in ("torch", "cpu", "threads"))
    assert (new.seeds, new.other_students, new.explicit_options, new.comparable) == (
        [3, 4],
        record.other_students,
        [],
        True,
    )
    assert (new.origin.reruns, new.scoring) == (
        record.run_id,
        record.scoring,
    )


def test_rerun_with_real_images_agrees(example_plugins, tmp_path):
    record, new = again(
        example_plugins, tmp_path, run(example_plugins, tmp_path, "random-real", repeats=2)
    )
    assert rerun.compare(record, new) == rerun.Agreement(status=True, images=True, accuracies=True)
    assert (new.uses_real_data, new.n) == (True, 2)


def test_rerun_shows_changes_of_environment_and_results(ddbench, example_folder, good, edited):
    record = store.read(good)
    accuracies = [record.accuracies[0], 0.5]
    mean, spread, interval = stats.summary(accuracies)
    folder = edited(
        images_sha256="0" * 64,
        accuracies=accuracies,
        **{
            "accuracy_mean": mean,
            "accuracy_std": spread,
            "accuracy_ci95": interval,
            "commit": "f" * 40,
        },
        versions=record.versions | {"torch": "1.0", "tool": "2"},
        hardware=record.hardware | {"cpu": "abacus", "memory_gib": 0.1},
        scoring=asdict(replace(record.scoring, threads=999)),
        data_sha256="1" * 64,
    )
    done = ddbench("rerun", folder, path=[example_folder])
    assert done.returncode == 1
    warnings = [
        line.removeprefix("warning: ")
        for line in done.stderr.splitlines()
        if line.startswith("warning: ")
    ]
    assert "images.safetensors is damaged" in warnings.pop(0)
    names = [line.split(":")[0] for line in warnings]
    assert names in (
        ["torch", "tool", "cpu", "commit", "threads", "data_sha256"],
        ["torch", "tool", "cpu", "threads", "data_sha256"],
    )
    assert warnings[:2] == [
        f"torch: 1.0 then, {record.versions['torch']} here",
        "tool: 2 then, none here",
    ]
    assert "OMP_NUM_THREADS=999" in done.stderr
    assert (
        done.stderr.index("OMP_NUM_THREADS")
        < done.stderr.index("sampling")
        < done.stderr.index("data_sha256")
    )
    status, images, *table = done.stdout.splitlines()
    assert status == "status: the same (ok)"
    assert images == (
        f"images: differ: sha256 {12 * '0'} then, {record.images_sha256[:12]} now; "
        "0 of 20 images differ, by at most 0 of 255 levels"
    )
    assert table[0] == "accuracies: differ"
    first, second = (100 * accuracy for accuracy in record.accuracies)
    assert table[4].split() == ["convnet3", "3", f"{first:.2f}", f"{first:.2f}", "+0.00"]
    assert table[5].split() == ["convnet3", "4", "50.00", f"{second:.2f}", f"{second - 50:+.2f}"]
    assert [line.split()[0] for line in table[6:]] == ["mlp", "mlp"]


def test_scored_run_is_scored_again_by_start_of_its_id(ddbench, example_folder, good):
    arguments = ("--seed", "5", "--students", "mlp", "--device", "cpu", "--json")
    record = json.loads(ddbench("score", good, *arguments, path=[example_folder]).stdout)
    done = ddbench("rerun", record["run_id"][:-2], "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["agrees"] is document["images_agree"] is document["accuracies_agree"] is True
    # The checkout may have uncommitted changes.
    assert all(line.startswith("commit: ") for line in document["differences"])
    assert (
        "note: the images are read from the run's folder and scored again, not regenerated\n"
        in done.stderr
    )
    new = document["record"]
    assert document["run"] == new["run_id"] != record["run_id"]
    assert (new["seed"], new["seeds"], new["student"]) == (3, [5, 6], "mlp")
    assert new["origin"]["run_id"] == record["run_id"]
    for name in ("accuracies", "not_comparable_because"):
        assert new[name] == record[name]
    refused = ddbench("rerun", record["run_id"], "--option", "batch=3", path=[example_folder])
    assert (refused.returncode, "leave out --option" in refused.stderr) == (2, True)


def test_rerun_of_scored_file_needs_no_method(example_plugins, edited):
    folder = edited(
        method="The Team",
        limit_enforced=False,
        origin={"kind": "file", "file": "team", "format": "eccv2024"},
    )
    assert (
        "not regenerated"
        in rerun.prepare(folder, store.read(folder), Request(""), example_plugins).note
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"origin": {"kind": "shards", "shards": [{"run_id": "one"}, {"run_id": "two"}]}},
            "rerun each with `ddbench rerun` and join the new ones with `ddbench merge`: one two",
        ),
        ({"method": "absent"}, "unknown method 'absent'"),
        ({"track": "absent"}, "unknown track 'absent'"),
        ({"recipe": "few/2"}, "unknown recipe 'few/2'"),
        ({"recipe_sha256": "abc"}, "the record has abc"),
        ({"explicit_options": ["size=3"]}, "good has no option 'size'"),
        ({"seeds": []}, "2 accuracies"),
    ],
)
def test_run_that_cannot_be_rerun_is_a_one_line_error(
    ddbench, example_folder, edited, tmp_path, changes, message
):
    done = ddbench("rerun", edited(**changes), path=[example_folder])
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert not (tmp_path / "runs").exists()


def test_rerun_requests_the_number_of_images_that_fitted(example_plugins, tmp_path):
    folder = run(example_plugins, tmp_path, "random-real", ipc="max")
    record, new = again(example_plugins, tmp_path, folder)
    assert (record.ipc_asked, new.ipc_asked) == (None, record.ipc)
    assert rerun.compare(record, new) == rerun.Agreement(True, True, None)
    assert (
        f"requesting {record.ipc} images"
        in rerun.prepare(folder, record, Request(""), example_plugins).note
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"ipc": 6, "shard": "1/2"},
        {"ipc": "max", "shard": "1/2", "time_limit": 600},
        {"ipc": 6, "processes": 2},
    ],
)
def test_parts_are_rerun_as_parts(example_plugins, tmp_path, clock, settings):
    clock.jump_after(10)
    folder = run(example_plugins, tmp_path, "divided", **settings)
    clock.go()
    record, new = again(example_plugins, tmp_path, folder)
    assert (new.shard, new.processes, new.seconds.limit) == (
        record.shard,
        record.processes,
        record.seconds.limit,
    )
    assert new.images_sha256 == record.images_sha256
    assert record.ipc > 0


def test_failed_run_fails_again(example_plugins, tmp_path):
    record, new = again(example_plugins, tmp_path, run(example_plugins, tmp_path, "raises"))
    assert (new.status, new.message) == ("error", record.message)
    assert rerun.compare(record, new).is_whole


def test_rerun_takes_a_path_given_again(ddbench, example_folder, example_plugins, tmp_path):
    """A record has only the last component of a path."""
    (tmp_path / "a").mkdir()
    folder = run(example_plugins, tmp_path, "forks", options=[f"pids={tmp_path}/a/pids"], ipc=1)
    assert store.read(folder).explicit_options == ["pids=pids"]
    _, new = again(example_plugins, tmp_path, folder, f"pids={tmp_path}/a/others")
    assert (new.explicit_options, (tmp_path / "a" / "others").is_file()) == (["pids=others"], True)
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(
        json.dumps(record | {"explicit_options": [f"pids={tmp_path}/b/pids"]})
    )
    failed = ddbench("rerun", folder, path=[example_folder])
    assert (failed.returncode, failed.stdout.splitlines()[0]) == (1, "status: ok then, error now")
    assert "pass it again with --option KEY=PATH" in failed.stderr


def test_device_of_records(good):
    record = store.read(good)
    names = {"cpu": "cpu", "cuda:1": "cuda", "mps": "mps", "abacus": "auto", None: "auto"}
    assert [rerun.device_of(replace(record, device=name)) for name in names] == list(names.values())
    scored = replace(
        record,
        device="cuda",
        origin=Origin("run", run_id="x"),
        scoring=ScoringRuntime("cpu", threads=2),
    )
    # The images may have been generated on another device.
    assert rerun.device_of(scored) == "cpu"


def test_generative_turbo_is_rerun_with_its_batch_size(ddbench, methods_here, tmp_path):
    common = ("--method", "generative-turbo", "--ipc", "6", "--repeats", "0", "--device", "cpu")
    common += ("--option", "preset=sampled")
    record = json.loads(ddbench("run", *common, "--option", "batch=7", "--json").stdout)
    path = next(store.runs_in([tmp_path / "runs"])) / "record.json"
    # Edit the record as if the method had chosen the batch size itself.
    chosen = {
        "explicit_options": ["preset=sampled"],
        "options": record["options"] | {"batch": None},
    }
    path.write_text(json.dumps(record | chosen))
    done = ddbench("rerun", record["run_id"], "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["images_agree"], document["accuracies_agree"]) == (
        0,
        True,
        None,
    )
    new = document["record"]
    assert record["metadata"]["decided"] == {"copies": 0}
    assert new["metadata"]["decided"] == {"copies": 0}
    assert (new["batch"], new["metadata"]["decoder"]) == (7, "vae")
    assert (new["explicit_options"], new["options"]["batch"]) == (["preset=sampled"], None)
