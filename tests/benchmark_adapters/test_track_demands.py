"""Where the rules come from by which runs are ranked: installed tracks, files, and records."""

import json
import shutil

import forgeries
import msgspec
import pytest
from project import ROOT
from small_runs import only

import ddbench as interface
from benchmark_adapters import datasets, plugins, track_demands, track_files
from benchmark_adapters.runs import recording
from leaderboard.analysis import ranking
from leaderboard.records import store

TRACK = """name = "sprint"
datasets = ["fashion-mnist"]
bundled_data = true
time_limit = 60
ipc = [20]
recipe = "quickstart/1"
repeats = 3
"""
HINT = "the rules are in a file: add --track FILE.toml"


@pytest.fixture
def sprint(tmp_path):
    """Return a track file with the rules of quickstart, and the values of a run on it."""
    return _sprint(tmp_path / "sprint.toml", TRACK)


def _sprint(file, text):
    file.write_text(text)
    rules = recording._rules(track_files.find(plugins.build(), str(file)))
    return file, {
        **forgeries.TRUE,
        "track": "sprint",
        "rules": msgspec.to_builtins(rules),
    }


def board(ddbench, *arguments):
    """Return rank and reasons of each method, and the table."""
    rows = json.loads(ddbench("leaderboard", "--format", "json", *arguments).stdout)
    table = ddbench("leaderboard", "--format", "github", *arguments).stdout
    reasons = {
        row["method"]: (row["rank"], [one["text"] for one in row["not_comparable_because"]])
        for row in rows
    }
    return reasons, table


def test_published_runs_keep_their_ranks():
    """They are of several schemas, and their own word is true."""
    entries, problems = store.entries([ROOT / "docs/runs"])
    assert problems == []
    believed = ranking.rows(record for _, record in entries)
    assert all(row.rank for row in believed)
    decided = interface.leaderboard(ROOT / "docs/runs")
    assert [(row.record, row.rank) for row in decided] == [
        (row.record, row.rank) for row in believed
    ]


def test_the_known_test_images_are_those_of_the_package_and_of_the_distribution():
    for options in ({"bundled": True}, {}):
        images, labels = datasets.load(datasets.FASHION_MNIST, "test", **options)
        assert datasets.digest(images, labels) == track_demands.SHA256["fashion-mnist"]
    counts = {labels.tolist().count(label) for label in range(10)}
    assert counts == {track_demands.PER_CLASS["fashion-mnist"]}


def test_every_installed_track_has_demands():
    installed = plugins.build()
    demands = track_demands.known(installed, [])
    assert demands.keys() == set(installed.tracks)
    for name, one in demands.items():
        track = installed.tracks[name]
        assert one.recipe_sha256 == installed.recipes[track.recipe].sha256
        assert [one.repeats_at(ipc) for ipc in track.ipc] == [
            track.repeats_at(ipc) for ipc in track.ipc
        ]
        for dataset, real in one.datasets.items():
            assert real.images == real.classes * real.per_class, dataset


def test_runs_of_a_track_file_are_ranked_by_the_file(ddbench, sprint, tmp_path):
    file, values = sprint
    lax = {**values["rules"], "sha256": "f" * 64, "time_limit": 9000}
    slow = {**values["seconds"], "limit": 9000, "generate": 8000}
    forgeries.save(tmp_path / "runs", values, "honest")
    forgeries.save(tmp_path / "runs", {**values, "rules": lax, "seconds": slow}, "lax")
    same_hash = {**lax, "sha256": values["rules"]["sha256"]}
    forgeries.save(tmp_path / "runs", {**values, "rules": same_hash, "seconds": slow}, "liar")
    forgeries.save(tmp_path / "runs", {**values, "rules": None}, "ruleless")
    rows, table = board(ddbench, "--track", file)
    assert {method: rank for method, (rank, _) in rows.items() if rank} == {"honest": "1"}
    ours = values["rules"]["sha256"][:8]
    assert f"rules ffffffff instead of rules {ours}" in rows["lax"][1]
    assert "time limit 9000 s instead of 60 s" in rows["liar"][1]
    assert f"rules of an installed track instead of rules {ours}" in rows["ruleless"][1]
    assert "rules in its records" not in table
    (ranked,) = [row for row in interface.leaderboard(tmp_path / "runs", file) if row.rank]
    assert ranked.record.method == "honest"
    # Without the file, nobody knows which rules are those of the track.
    rows, table = board(ddbench)
    assert [rank for rank, _ in rows.values()] == [""] * 4
    assert rows["honest"][1] == [HINT]
    assert HINT in table


def test_runs_that_agree_on_the_rules_need_no_file_and_the_table_says_so(ddbench, sprint, tmp_path):
    _, values = sprint
    forgeries.save(tmp_path / "runs", values, "honest")
    forgeries.save(tmp_path / "runs", {**values, "recipe_sha256": "0" * 64}, "forged")
    rows, table = board(ddbench)
    assert {method: rank for method, (rank, _) in rows.items()} == {"honest": "1", "forged": ""}
    assert "\n\nsprint: ranked by the rules in its records\n" in table
    ddbench("leaderboard", "--format", "html", "--output", "board")
    assert "Ranked by the rules in its records." in (tmp_path / "board/index.html").read_text()


def test_records_can_not_bring_rules_for_an_installed_track(ddbench, sprint, tmp_path):
    _, values = sprint
    lax = {**values["rules"], "time_limit": 9000}
    forgeries.save(tmp_path / "runs", {**values, "track": "quickstart", "rules": lax}, "forged")
    rows, _ = board(ddbench)
    assert rows["forged"][0] == ""


def test_real_training_images_are_not_ranked_where_the_track_forbids_them(ddbench, tmp_path):
    file, values = _sprint(tmp_path / "sprint.toml", TRACK + "real_data = false\n")
    forgeries.save(tmp_path / "runs", values, "real")
    forgeries.save(tmp_path / "runs", {**values, "uses_real_data": False}, "made")
    rows, _ = board(ddbench, "--track", file)
    assert rows == {
        "made": ("1", []),
        "real": ("", ["real training images, which the track forbids"]),
    }


def test_runs_of_a_track_that_is_not_installed_are_shown(ddbench, tmp_path):
    shutil.copytree(ROOT / "docs/runs/quickstart", tmp_path / "runs/quickstart")
    for file in (tmp_path / "runs").glob("*/*/*/*/record.json"):
        values = json.loads(file.read_text())
        file.write_text(json.dumps({**values, "track": "marathon"}))
    rows, table = board(ddbench, "--track", "marathon")
    assert {rank for rank, _ in rows.values()} == {""}
    assert table.startswith("### marathon, fashion-mnist")
    assert table.count("the track is not installed") == 4


def test_honest_runs_of_every_kind_are_ranked(
    ddbench, example_folder, real_runs, submission, tmp_path, untrained_probe
):
    """A method's run, its images scored again, a rerun, a file, and a method of a plugin."""
    shutil.copytree(real_runs, tmp_path / "runs")
    run = only(tmp_path / "runs", "few").name
    few = ("--track", "few", "--device", "cpu")
    commands = {
        "run": ("score", run, "--seed", "5", "--device", "cpu"),
        "rerun": ("rerun", run, "--device", "cpu"),
        "file": ("score", submission, "--name", "team", *few),
        "good": ("run", "--method", "good", "--processes", "1", *few),
    }
    for command in commands.values():
        done = ddbench(*command, path=[example_folder])
        assert done.returncode == 0, done.stderr
    done = ddbench("leaderboard", "--format", "json", path=[example_folder])
    rows = json.loads(done.stdout)
    assert {row["origin"]["kind"] for row in rows} == {"method", "run", "file"}
    assert [row["not_comparable_because"] for row in rows] == [[]] * len(rows)
    assert all(row["rank"] for row in rows)
