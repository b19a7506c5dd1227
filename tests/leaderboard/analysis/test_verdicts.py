"""Verdicts on records where little is known about the test images, and on damaged records."""

import copy
import json
import random
import time
from datetime import UTC, datetime

import forgeries
import pytest
from forgeries import TRUE, scored

from leaderboard.analysis import ranking, verdicts
from leaderboard.analysis.demands import Demands, RealTest
from leaderboard.records import store
from leaderboard.records.record import Record
from leaderboard.render import tables

QUICKSTART = Demands(
    datasets={"fashion-mnist": RealTest(10_000, 10, 1000, TRUE["data_sha256"])},
    time_limit=60,
    ipc=(20,),
    recipe=TRUE["recipe"],
    recipe_sha256=TRUE["recipe_sha256"],
    student="convnet3",
    repeats=3,
)
NOW = datetime(2027, 1, 1, tzinfo=UTC)


def judged(values, demands=QUICKSTART, now=NOW):
    record = Record.from_json(json.dumps({**TRUE, **values}))
    (record,) = verdicts.judged([record], {"quickstart": demands}, now)
    return record


def texts(values, *arguments):
    return [reason.text for reason in judged(values, *arguments).not_comparable_because]


def test_clocks_may_differ_by_a_day():
    assert judged({"created": "2027-01-01T20:00:00Z"}).comparable
    assert not judged({"created": "2027-01-03T00:00:00Z"}).comparable


def test_verdicts_are_final():
    """Judging twice is judging once, and reasons in a record stay."""
    (record,) = verdicts.judged([judged({"ipc": 5})], {"quickstart": QUICKSTART}, NOW)
    assert record == judged({"ipc": 5})
    own = [{"code": "ipc", "text": "five are too few"}]
    found = texts({"ipc": 5, "comparable": False, "not_comparable_because": own})
    assert found[0] == "five are too few"
    assert not any("IPC 5" in text for text in found)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"data_sha256": "0" * 64}, None),
        ({"data_sha256": None}, "no hash of the test images"),
        ({"confusion": [[29_999, 1], [1, 0]]}, "no sum over 3 seeds"),
        (scored(TRUE, [0.8, 0.8, 0.8]), "do not match the confusion matrix"),
    ],
)
def test_unknown_test_images_still_have_to_fit_the_scores(change, problem):
    demands = Demands(**{**vars(QUICKSTART), "datasets": {"fashion-mnist": RealTest()}})
    found = texts(change, demands)
    assert bool(found) == bool(problem)
    assert all(problem in text for text in found)


def test_number_of_seeds_and_category_depend_on_the_ipc():
    several = {**vars(QUICKSTART), "ipc": (20, 50), "ipc_repeats": {20: 4}}
    assert texts({"category": "IPC 20"}, Demands(**several)) == ["3 seeds instead of 4"]
    several["ipc_repeats"] = {50: 4}
    assert texts({"category": "IPC 20"}, Demands(**several)) == []
    assert texts({"category": "IPC 50"}, Demands(**several)) == [
        "category IPC 50 instead of IPC 20"
    ]


VALUES = [None, True, -1, 0, 0.5, 1, 2**63, 1e300, "", "x", "\u202e", [], [[]], {}, {"x": None}]


def other(value, chance):
    """Return a value that mostly has the same type."""
    if chance.random() < 0.1:
        return chance.choice(VALUES)
    match value:
        case bool():
            return not value
        case int():
            return max(0, value + chance.choice([1, -1, 3, -3, 10**6]))
        case float():
            return value * chance.choice([0.5, 0.99, 1.0001, 1.01, 2])
        case str():
            return chance.choice([value[1:], value + "x", value.upper(), "quickstart"])
        case list() if value:
            return chance.choice([value[1:], [*value, value[0]], value[::-1]])
        case _:
            return chance.choice(VALUES)


def damaged(chance):
    """Return the text of the honest record with one or two random changes."""
    values = copy.deepcopy(TRUE)
    for _ in range(chance.randint(1, 2)):
        place = values
        while True:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not (isinstance(place[key], dict | list) and place[key]) or chance.random() < 0.2:
                break
            place = place[key]
        place[key] = other(place[key], chance)
    text = json.dumps(values)
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice('0123456789,]}"\\\0\u00e9') + text[at + 1 :]
    return text


def test_damage_never_stops_the_leaderboard_nor_gives_other_scores_a_rank(ddbench, tmp_path):
    chance, started, ranked = random.Random(0), time.monotonic(), 0
    for number in range(200):
        root = tmp_path / str(number)
        file = forgeries.write(root, TRUE)
        file.write_text(damaged(chance))
        entries, problems = store.entries([root])
        demands = {"quickstart": QUICKSTART}
        records = verdicts.judged([record for _, record in entries], demands, NOW)
        rows = ranking.rows(records)
        assert len(rows) + len(problems) == 1
        for row in (row for row in rows if row.rank):
            ranked += 1
            accuracies = sorted(row.record.accuracies)
            assert accuracies == pytest.approx(sorted(TRUE["accuracies"]), abs=1e-6)
            assert row.accuracy_mean == pytest.approx(TRUE["accuracy_mean"], abs=1e-6)
            assert row.accuracy_ci95 == pytest.approx(TRUE["accuracy_ci95"], abs=1e-6)
            assert sum(map(sum, row.record.confusion)) == 30_000
    assert 0 < ranked < 200
    roots = [text for root in tmp_path.iterdir() for text in ("--runs", root)]
    for style in tables.FORMATS:
        # Some records can't be read.
        assert ddbench("leaderboard", "--format", style, *roots).returncode == 1
    page = ("--format", "html", "--output", tmp_path / "board")
    assert ddbench("leaderboard", *page, *roots).returncode == 1
    assert time.monotonic() - started < 60
