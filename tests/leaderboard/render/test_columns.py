"""Columns: the texts of cells, their explanations, and where columns are shown."""

import itertools

import pytest
from made_records import record

from leaderboard.analysis.ranking import Row
from leaderboard.records.record import Copies, Reason, Seconds
from leaderboard.render import columns, short_columns


def cell(heading, **values):
    """Return the text of a run's cell in the column with ``heading``."""
    (column,) = (column for column in columns.RUN if column.heading == heading)
    return column.cell(Row(record(**values), rank="1-2"))


SAMPLED = {"model": "A", "ipc": 20, "generated_per_class": 20.0}


@pytest.mark.parametrize(
    ("heading", "values", "text"),
    [
        ("rank", {}, "1-2"),
        ("method", {"explicit_options": ["a=1", "b=2"]}, "one a=1 b=2"),
        ("accuracy %", {}, "72.00"),
        ("95 % interval", {"accuracies": [0.0, 0.5]}, "0.00 to 100.00"),
        ("95 % interval", {"accuracies": [0.5]}, ""),
        ("time s", {}, "6.0"),
        ("time s", {"seconds": Seconds(generate=5.0)}, ""),
        ("limit s", {}, "60"),
        ("limit s", {"limit_enforced": False}, "60 (declared)"),
        ("hardware", {"hardware": {"gpu": "A", "gpus": 2}}, "2x A"),
        ("hardware", {"hardware": {"gpu": "A", "gpus": 1}}, "A"),
        ("hardware", {"hardware": {"cpu": "B", "cores": 4}}, "B, 4 cores"),
        ("hardware", {"hardware": {"cpu": "B", "cores": 1}}, "B, 1 core"),
        ("hardware", {"device": "cpu"}, "cpu"),
        ("hardware", {"hardware": {"cpu": "B"}, "limit_enforced": False}, ""),
        ("images", {"copies": Copies(0, 0, 1, 0)}, "real"),
        ("images", {"copies": Copies(0, 0, 0.25, 0.25)}, "50 % real"),
        ("images", {"copies": Copies(0, 0, 0.001, 0)}, "1 % real"),
        ("images", {"copies": Copies(0, 0, 0, 0.05)}, ""),
        ("images", {"copies": Copies(0, 0, 0.4, 0), **SAMPLED}, "sampled, 40 % real"),
        ("images", {"copies": Copies(0, 0, 0, 0), **SAMPLED}, "sampled"),
        ("images", {"copies": Copies(0, 0, 1, 0), "metadata": {"images": "real"}}, "real"),
        ("status", {"copies": Copies(0, 0.4, 0, 0)}, "ok; 40 % copies of test images"),
        ("status", {"copies": Copies(0, 0.05, 0, 0)}, "ok"),
        ("status", {"copies": Copies(1, 0), "status": "invalid", "message": "why"}, "invalid: why"),
        ("status", {"status": "timeout", "comparable": False}, "timeout"),
        (
            "status",
            {"comparable": False, "not_comparable_because": [Reason("ipc", "a"), Reason("x", "b")]},
            "ok, not comparable: a; b",
        ),
    ],
)
def test_cells_of_a_run(heading, values, text):
    assert cell(heading, **values) == text


def test_every_column_explains_its_heading_in_a_sentence():
    tables = (columns.CSV, columns.PUBLISHED, columns.CLASS, columns.mean_columns(["cifar100"]))
    for column in itertools.chain(*tables):
        assert column.meaning[0].isupper(), column.heading
        assert column.meaning.endswith("."), column.heading


def test_terminals_and_papers_show_what_matters():
    terminal = ["rank", "method", "IPC", "accuracy %", "n", "time s", "status"]
    assert [column.heading for column in short_columns.terminal(columns.RUN)] == terminal
    paper = short_columns.paper(columns.RUN)
    assert [column.heading for column in paper] == ["method", "IPC", "accuracy %"]
    assert paper[-1].cell(Row(record())) == "72.00 ± 4.97"
    assert paper[-1].cell(Row(record(accuracies=[0.5]))) == "50.00"
