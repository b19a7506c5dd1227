"""Comparisons of runs: the settings that differ, and the test of their scores."""

import json

import pytest
from made_records import COMPARED, FULL, compared, record
from project import ROOT

from leaderboard.analysis import comparison
from leaderboard.records import store


def test_compare_lists_differing_settings_and_tests_the_scores():
    found = compared(*COMPARED)
    assert found.settings == {
        "options.pda": ["none", "default"],
        "versions.torch": [None, "3"],
        "images_sha256": ["a", "b"],
    }
    (difference,) = found.differences
    assert difference.is_significant
    assert difference.mean == pytest.approx(0.09)
    assert found.classes == [("Bag", [0.8, 0.9]), ("Shirt", [0.5, 0.8])]
    assert json.loads(comparison.to_json(found))["against_first"][0]["differs"] is True


def test_a_run_by_rules_from_a_file_that_was_resumed_is_compared_with_another():
    """Its rules and sessions are objects, which JSON can't hold."""
    found = json.loads(comparison.to_json(compared(record(), FULL)))
    assert found["settings"]["rules"] == [None, "a1"]
    assert "sessions" not in found["settings"]


def test_compare_does_not_match_classes_of_different_order_by_position():
    runs = [record(run_id=name, confusion=[[8, 2], [5, 5]]) for name in "ab"]
    assert comparison.compare(runs, [["Bag", "Shirt"], ["Shirt", "Bag"]]).classes == []


def test_compare_refuses_a_single_run(ddbench):
    done = ddbench("compare", next(store.runs_in([ROOT / "docs" / "runs"])))
    assert (done.returncode, done.stderr) == (2, "error: a comparison needs at least two runs\n")
