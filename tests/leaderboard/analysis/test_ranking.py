"""Ranking: which runs count, which are ranked together, and means over datasets."""

import dataclasses

import pytest
import scipy.stats
from made_records import PAIR, TWO_DATASETS, pair_record, record

from leaderboard.analysis import duplicates, ranking
from leaderboard.analysis.board import held
from leaderboard.records.record import Origin, ShardOrigin, TrackRules
from leaderboard.render import columns


def conflicts(runs):
    with held(runs) as (board, _):
        return list(duplicates.conflicts(board))


def test_rows_are_best_first_with_rank_and_n():
    rows = ranking.rows(
        [
            record(run_id="a", accuracies=[0.5, 0.51, 0.52]),
            record(run_id="b", method="two", accuracies=[0.8, 0.81, 0.82]),
        ]
    )
    assert [(row.record.run_id, row.rank, row.n) for row in rows] == [
        ("b", "1", 3),
        ("a", "2", 3),
    ]


def test_duplicate_runs_count_once():
    same = {"images_sha256": "x" * 64}
    runs = [
        record(run_id="a", **same),
        record(run_id="b", **same, created="2026-02-01T00:00:00Z"),
        record(run_id="c"),
    ]
    assert {row.record.run_id for row in ranking.rows(runs)} == {"a", "c"}
    other_seeds = dataclasses.replace(runs[1], seeds=[3, 4, 5])
    other_recipe = dataclasses.replace(runs[1], run_id="d", recipe_sha256="s" * 64)
    assert len(ranking.rows([runs[0], other_seeds, other_recipe])) == 3


def test_equal_images_of_different_teams_are_shown_on_both():
    same = {"images_sha256": "x" * 64}
    runs = [
        record(run_id="a", method="one", **same),
        record(run_id="b", method="two", created="2026-02-01T00:00:00Z", **same),
        record(run_id="c", method="two", created="2026-03-01T00:00:00Z", **same),
        record(run_id="d", method="three"),
        record(run_id="e", method="four", track="other", **same),
    ]
    rows = {row.record.run_id: row for row in ranking.rows(runs)}
    assert {name: row.same_images_as for name, row in rows.items()} == {
        "a": ("two",),
        "b": ("one",),
        "d": (),
        "e": (),
    }
    status = next(column for column in columns.RUN if column.name == "status")
    assert status.cell(rows["a"]) == "ok; same images as two"
    assert status.cell(rows["d"]) == "ok"


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({"data_sha256": "e" * 64}, "test images eeeeeeee"),
        ({"recipe_sha256": "e" * 64}, "recipe eeeeeeee"),
        (
            {"rules": TrackRules("e" * 64, ["fashion-mnist"], 20, [10], 10, "dsa/1", 3)},
            "rules eeeeeeee",
        ),
    ],
)
def test_runs_under_other_rules_are_shown_ranked_apart_and_told_apart(change, version):
    same = {"images_sha256": "x" * 64}
    before = record(run_id="a", **same)
    after = dataclasses.replace(before, run_id="b", accuracies=[0.1, 0.1, 0.1], **change)
    rows = {row.record.run_id: row for row in ranking.rows([before, after])}
    assert (rows["a"].rank, rows["b"].rank) == ("1", "1")
    assert rows["b"].version == version
    assert rows["a"].version
    assert conflicts([before, after]) == []


def test_means_do_not_depend_on_the_order_of_the_runs():
    runs = [
        dataclasses.replace(
            pair_record(
                dataset, f"{method}-{dataset}", method=method, accuracies=[value, value + 0.01]
            ),
            data_sha256=dataset[0] * 64,
            created=f"2026-01-0{day}T00:00:00Z",
        )
        for method, value, days in (("one", 0.5, (1, 2)), ("two", 0.1, (4, 3)))
        for dataset, day in zip(PAIR["pair"], days, strict=True)
    ]
    rows = means(runs)
    assert [(row.record.method, row.rank) for row in rows] == [("one", "1"), ("two", "2")]


def test_conflicts_name_runs_of_the_same_images_with_different_accuracies():
    """A record with another team's image hash can't silently replace that team's row."""
    theirs = record(run_id="a", method="honest")
    copied = record(
        run_id="b",
        method="thief",
        accuracies=[0.1, 0.1, 0.1],
        images_sha256="a",
        created="2000-01-01T00:00:00Z",
    )
    (line,) = conflicts([theirs, copied])
    assert line == (
        "run a (honest, 72.00 %) has the same images, recipe and seeds as "
        "run b (thief, 10.00 %), but different accuracies"
    )
    assert len(ranking.rows([theirs, copied])) == 2
    own = dataclasses.replace(theirs, run_id="z", accuracies=[0.1, 0.1, 0.1])
    (line,) = conflicts([theirs, own])
    assert line.endswith("but different accuracies; it is hidden")
    assert conflicts([theirs, dataclasses.replace(theirs, run_id="c")]) == []
    failed = [
        record(
            run_id="a",
            track=track,
            status="error",
            accuracies=[],
            images_sha256=None,
            comparable=False,
        )
        for track in ("one", "two")
    ]
    assert len(ranking.rows(failed)) == 2


def test_shards_do_not_count_beside_their_merged_set():
    merged = Origin("shards", shards=[ShardOrigin("a"), ShardOrigin("b")])
    runs = [
        record(run_id="a", shard="0/2"),
        record(run_id="b", shard="1/2"),
        record(run_id="c", origin=merged),
        record(run_id="d", shard="0/2"),
        record(run_id="a", shard="0/2", track="other"),
    ]
    rows = [(row.record.track, row.record.run_id) for row in ranking.rows(runs)]
    assert sorted(rows) == [("other", "a"), ("quickstart", "c"), ("quickstart", "d")]


def test_a_score_of_zero_is_above_no_score():
    rows = ranking.rows(
        [
            record(run_id="a", accuracies=[], status="error", comparable=False),
            record(run_id="b", accuracies=[0.0, 0.0, 0.0]),
        ]
    )
    assert [row.record.run_id for row in rows] == ["b", "a"]


def test_the_comparable_duplicate_counts_in_each_track():
    same = {"images_sha256": "x" * 64}
    late = record(run_id="b", **same, created="2026-02-01T00:00:00Z")
    rows = ranking.rows(
        [
            record(run_id="a", comparable=False, **same),
            late,
            record(run_id="c", track="other", **same),
        ]
    )
    assert [(row.record.run_id, row.rank) for row in rows] == [("c", "1"), ("b", "1")]


def test_failed_runs_have_rows_without_a_rank_and_are_never_merged():
    failed = [
        record(run_id=name, status="error", accuracies=[], images_sha256=None, comparable=False)
        for name in "ab"
    ]
    rows = ranking.rows([*failed, record(run_id="c")])
    assert [(row.record.run_id, row.rank) for row in rows] == [("c", "1"), ("a", ""), ("b", "")]


@pytest.mark.parametrize("change", [{"comparable": False}, {"status": "timeout"}])
def test_only_comparable_runs_are_ranked(change):
    rows = ranking.rows(
        [record(run_id="a", accuracies=[0.9, 0.91, 0.92], **change), record(run_id="b")]
    )
    assert [(row.record.run_id, row.rank) for row in rows] == [("a", ""), ("b", "1")]


def test_categories_tracks_and_recipes_are_ranked_separately():
    runs = [
        record(run_id="a"),
        record(run_id="b", category="IPC 1", ipc=1),
        record(run_id="c", track="other"),
        record(run_id="d", recipe_sha256="of another recipe with the same name"),
    ]
    assert [row.rank for row in ranking.rows(runs)] == ["1", "1", "1", "1"]
    assert [row.record.run_id for row in ranking.rows(runs, "other")] == ["c"]


def test_files_with_a_declared_limit_are_ranked_separately():
    """However good they are, they don't change the ranks of runs with an enforced limit."""
    good = {"accuracies": [0.9, 0.91, 0.92], "limit_enforced": False}
    runs = [
        record(run_id="file", **good),
        record(run_id="run"),
        record(run_id="worse-file", limit_enforced=False, images_sha256="c"),
    ]
    rows = ranking.rows(runs)
    assert [(row.record.run_id, row.rank) for row in rows] == [
        ("run", "1"),
        ("file", "1"),
        ("worse-file", "2"),
    ]


def means(runs, datasets=PAIR):
    with held(runs) as (board, _):
        return [
            row
            for track, names in datasets.items()
            for row in ranking.means(board, track, names)[0]
        ]


def test_means_average_over_the_datasets_of_a_track():
    (row,) = means(TWO_DATASETS[:2])
    assert row.accuracies == pytest.approx([0.20, 0.215, 0.215])
    assert (row.n, row.rank, row.missing) == (3, "1", "")
    low, high = scipy.stats.t.interval(
        0.95, 2, loc=0.21, scale=scipy.stats.sem([0.20, 0.215, 0.215])
    )
    assert row.accuracy_ci95 == pytest.approx([low, high])


@pytest.mark.parametrize(
    ("second", "missing"),
    [
        (
            {"status": "error", "accuracies": [], "comparable": False},
            "no comparable run on tiny-imagenet",
        ),
        ({"comparable": False}, "no comparable run on tiny-imagenet"),
        ({"limit_enforced": False}, "no comparable run on tiny-imagenet"),
        ({"seed": 5}, "no comparable run on tiny-imagenet"),
        ({"seeds": [5, 6, 7]}, "the runs have different evaluation seeds"),
    ],
)
def test_means_of_only_some_datasets_are_left_out(second, missing):
    row = means(
        [TWO_DATASETS[0], dataclasses.replace(TWO_DATASETS[1], **second)]
        if "accuracies" not in second
        else [TWO_DATASETS[0], pair_record("tiny-imagenet", "x", **second)]
    )[0]
    assert (row.accuracy_mean, row.accuracies, row.rank, row.n) == (None, [], "", 0)
    assert row.missing == missing
    cells = {column.heading: column.cell(row) for column in columns.mean_columns(row.datasets)}
    assert (cells["mean %"], cells["cifar100 %"]) == ("", "31.00")


def test_means_use_the_oldest_run_and_not_the_best():
    later = pair_record(
        "tiny-imagenet",
        "z",
        accuracies=[0.9, 0.9, 0.9],
        model="sdxl-turbo",
        created="2026-05-01T00:00:00Z",
    )
    (row,) = means([*TWO_DATASETS[:2], later])
    assert row.runs["tiny-imagenet"].run_id == "a-2"


def test_tracks_with_one_dataset_have_no_means():
    assert means([record()], {"quickstart": ("fashion-mnist",)}) == []
