"""Tracks of several datasets, published results, and every table format beside its golden file: `python tests/test_board.py` writes those anew."""

import dataclasses
import random

import pytest
import scipy.stats
from made_records import record
from project import TESTS

from leaderboard.analysis import published as references
from leaderboard.analysis import ranking, stats
from leaderboard.analysis import sections as board
from leaderboard.analysis.published import Reference
from leaderboard.records.record import Reason, Seconds
from leaderboard.render import tables as table

GOLDEN = TESTS / "golden" / "tables"
FILES = {
    "github": "table.md",
    "plain": "table.txt",
    "csv": "table.csv",
    "latex": "table.tex",
    "json": "table.json",
}
PAIR = {"pair": ("cifar100", "tiny-imagenet")}
PUBLISHED = Reference(
    "cifar100", "DM", 10, 0.297, "ConvNet-3", "hard labels", "a paper", "https://example.org", True
)


def on(dataset, run_id, method="one", **values):
    return record(
        run_id=run_id,
        track="pair",
        dataset=dataset,
        method=method,
        ipc=10,
        category="IPC 10",
        **values,
    )


RUNS = [
    on(
        "cifar100",
        "a-1",
        accuracies=[0.30, 0.31, 0.32],
        model="sdxl-turbo",
        images_per_second=120.04,
        hardware={"gpu": "A GPU", "gpus": 8},
    ),
    on(
        "tiny-imagenet",
        "a-2",
        accuracies=[0.10, 0.12, 0.11],
        model="sdxl-turbo",
        images_per_second=99.9,
        hardware={"cpu": "A CPU", "cores": 2},
    ),
    on(
        "cifar100",
        "b-1",
        method="two|<b>[x](y)",
        accuracies=[0.40, 0.41, 0.42],
        explicit_options=["preset=published"],
    ),
    on(
        "tiny-imagenet",
        "b-2",
        method="two|<b>[x](y)",
        accuracies=[],
        status="error",
        comparable=False,
        message="it & broke",
        images_sha256=None,
    ),
    on(
        "cifar100",
        "c-1",
        method="=late",
        accuracies=[0.2, 0.2, 0.2],
        status="timeout",
        comparable=False,
    ),
    on(
        "cifar100",
        "d-1",
        method="Team 100% & $x_1$",
        limit_enforced=False,
        seconds=Seconds(evaluate=9.0, limit=600.0),
    ),
    record(
        run_id="e-1",
        track="quickstart",
        accuracies=[0.5],
        comparable=False,
        not_comparable_because=[
            Reason("repeats", "1 repeats instead of 3"),
            Reason("student", "student mlp"),
        ],
    ),
]


def tables(style):
    return table.render(board.sections(RUNS, datasets=PAIR, known=[PUBLISHED]), style) + "\n"


@pytest.mark.parametrize("style", FILES)
def test_a_table_is_as_it_was(style):
    assert tables(style) == (GOLDEN / FILES[style]).read_text()


def test_every_format_has_a_golden_file():
    assert set(FILES) == set(table.FORMATS)


# Means over datasets


def means(runs, datasets=PAIR):
    return ranking.means(ranking.rows(runs), datasets)


def test_the_score_of_a_track_is_the_mean_over_its_datasets():
    (row,) = means(RUNS[:2])
    assert row["accuracies"] == pytest.approx([0.20, 0.215, 0.215])
    assert (row["n"], row["rank"], row["missing"]) == (3, "1", "")
    low, high = scipy.stats.t.interval(
        0.95, 2, loc=0.21, scale=scipy.stats.sem([0.20, 0.215, 0.215])
    )
    assert row["accuracy_ci95"] == pytest.approx([low, high])


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
        ({"seeds": [5, 6, 7]}, "runs with different evaluation seeds"),
    ],
)
def test_there_is_no_partial_mean(second, missing):
    row = means(
        [RUNS[0], dataclasses.replace(RUNS[1], **second)]
        if "accuracies" not in second
        else [RUNS[0], on("tiny-imagenet", "x", **second)]
    )[0]
    assert (row["accuracy_mean"], row["accuracies"], row["rank"], row["n"]) == (None, [], "", 0)
    assert row["missing"] == missing
    assert table.mean_cells(row)["mean %"] == ""
    assert table.mean_cells(row)["cifar100 %"] == "31.00"


def test_of_several_runs_the_oldest_counts_and_not_the_best():
    later = on(
        "tiny-imagenet",
        "z",
        accuracies=[0.9, 0.9, 0.9],
        model="sdxl-turbo",
        created="2026-05-01T00:00:00Z",
    )
    (row,) = means([*RUNS[:2], later])
    assert row["runs"]["tiny-imagenet"]["run_id"] == "a-2"


def test_tracks_of_one_dataset_have_no_means():
    assert means([record()], {"quickstart": ("fashion-mnist",)}) == []


# Ranks


def test_ranks_are_those_of_scipys_test_over_all_pairs():
    draw = random.Random(0)
    groups = [
        [
            draw.gauss(draw.choice([0.5, 0.52, 0.55]), draw.choice([0.001, 0.02]))
            for _ in range(draw.choice([1, 2, 3, 5]))
        ]
        for _ in range(60)
    ]
    expected = []
    for own in groups:
        tests = [
            (sum(own) / len(own) - sum(other) / len(other), stats.difference(own, other).is_one)
            for other in groups
        ]
        best, last = (
            1 + sum(gap < 0 and one for gap, one in tests),
            len(groups) - sum(gap > 0 and one for gap, one in tests),
        )
        expected.append(str(best) if best == last else f"{best}-{last}")
    assert stats.ranks(groups) == expected
    assert len(set(expected)) > 10


# Published results


def test_published_results_stand_beside_their_datasets_and_sizes():
    known = references.load()
    found = references.beside("fashion-mnist", "fashion-mnist", [10], known)
    assert {one.method for one in found} == {
        "DC",
        "DSA",
        "DM",
        "MTT",
        "IDC",
        "herding",
        "random real images",
        "whole training set",
    }
    assert [one.ipc for one in found] == [10] * 7 + [None]
    assert references.beside("quickstart", "fashion-mnist", [20], known) == []
    of_challenge = {
        one.method for one in references.beside("eccv2024-fixed", "cifar100", [10], known)
    }
    assert "M-DATM, first of the fixed track" in of_challenge
    assert "M-DATM, first of the fixed track" not in {
        one.method for one in references.beside("ddranking", "cifar100", [10], known)
    }


def test_published_results_are_marked_and_never_ranked():
    text = table.render(board.sections([record(track="fashion-mnist", ipc=10)]))
    own, published = text.split(
        "### fashion-mnist, fashion-mnist: published results, for orientation and not ranked"
    )
    assert "rank" in own
    assert "rank" not in published
    assert "| MTT " in published
    assert published.count("unverified") == 5
    assert all(0 < one.accuracy < 1 and one.student and one.protocol for one in references.load())
    assert all(
        one.source and one.url.startswith("https://") for one in references.load() if one.verified
    )


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for style, file in FILES.items():
        (GOLDEN / file).write_text(tables(style))
