"""What differs between runs, and whether a test finds a difference of their scores."""

import json

import pytest
from made_records import compared, record
from project import ROOT

from leaderboard.analysis import comparison
from leaderboard.records import store
from leaderboard.render import comparison_tables


def test_a_comparison_names_what_differs_and_tests_the_difference():
    first = record(run_id="a", options={"pda": "none", "size": 1}, confusion=[[8, 2], [5, 5]])
    other = record(
        run_id="b",
        options={"pda": "default", "size": 1},
        accuracies=[0.8, 0.81, 0.82],
        confusion=[[9, 1], [2, 8]],
        versions={"torch": "3"},
    )
    found = compared(first, other)
    assert found.settings == {
        "options.pda": ["none", "default"],
        "versions.torch": [None, "3"],
        "images_sha256": ["a", "b"],
    }
    (difference,) = found.differences
    assert difference.is_significant
    assert difference.mean == pytest.approx(0.09)
    assert found.classes == [("Bag", [0.8, 0.9]), ("Shirt", [0.5, 0.8])]
    text = comparison_tables.describe(found)
    assert "+9.00 points, 95 % interval " in text
    assert "better by Welch's test" in text
    assert [row.split()[0] for row in text.splitlines()[-2:]] == [
        "Shirt",
        "Bag",
    ]  # the largest gain first
    assert json.loads(comparison.to_json(found))["against_first"][0]["differs"] is True


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "cifar10"}, "not comparable with the first: another dataset"),
        (
            {"recipe_sha256": "s", "student": "mlp"},
            "not comparable with the first: another recipe and another student",
        ),
        ({"accuracies": [], "status": "error"}, "not scored"),
        ({"accuracies": [0.9]}, "+18.00 points; too few or too equal values for a test"),
        ({"accuracies": [0.71, 0.73, 0.74]}, "no difference found by Welch's test"),
    ],
)
def test_a_difference_is_one_only_where_a_test_finds_it(change, words):
    found = compared(record(), record(run_id="b", **change))
    (difference,) = found.differences
    assert found.classes == []
    assert words in comparison_tables.verdict(difference)


def test_classes_of_another_order_are_not_compared_by_position():
    runs = [record(run_id=name, confusion=[[8, 2], [5, 5]]) for name in "ab"]
    assert comparison.compare(runs, [["Bag", "Shirt"], ["Shirt", "Bag"]]).classes == []


def test_settings_of_a_like_beginning_are_shown_to_their_end():
    prompts = [
        "a photo of a {name} on a white background",
        "a photo of a {name} on a black background",
    ]
    table = comparison_tables.settings(
        compared(
            *(
                record(images_sha256="x", run_id=name, options={"prompts": text})
                for name, text in zip("ab", prompts, strict=True)
            )
        )
    )
    (row,) = table.rows
    cells = {column.heading: column.cell(row) for column in table.columns}
    assert cells == {"setting": "options.prompts", "A": prompts[0], "B": prompts[1]}


def test_one_run_is_no_comparison(ddbench):
    done = ddbench("compare", next(store.runs_in([ROOT / "docs" / "runs"])))
    assert (done.returncode, done.stderr) == (2, "error: a comparison needs two runs or more\n")
