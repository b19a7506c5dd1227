"""Tables of comparisons, and differences in words."""

import pytest
from made_records import COMPARED, compared, record

from leaderboard.render import comparison_tables


def test_describe_shows_gains_and_tests():
    text = comparison_tables.describe(compared(*COMPARED))
    assert "+9.00 points, 95 % interval " in text
    assert "significantly better (Welch's test: p " in text
    largest_gain_first = [row.split()[0] for row in text.splitlines()[-2:]]
    assert largest_gain_first == ["Shirt", "Bag"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "cifar10"}, "not comparable with the first run: different dataset"),
        (
            {"recipe_sha256": "s", "student": "mlp"},
            "not comparable with the first run: different recipe and student",
        ),
        ({"accuracies": [], "status": "error"}, "not scored"),
        (
            {"accuracies": [0.9]},
            "+18.00 points; too few values, or too little variation, for a test",
        ),
        ({"accuracies": [0.71, 0.73, 0.74]}, "no significant difference (Welch's test: p = "),
    ],
)
def test_verdict_finds_a_difference_only_if_it_is_significant(change, words):
    found = compared(record(), record(run_id="b", **change))
    (difference,) = found.differences
    assert found.classes == []
    assert words in comparison_tables.verdict(difference)


def test_settings_with_a_common_beginning_are_shown_in_full():
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
