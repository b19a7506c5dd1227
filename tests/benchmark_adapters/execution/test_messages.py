"""Reports of child processes."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from benchmark_adapters.execution.messages import Report


def test_report_separates_named_values_from_metadata():
    report = Report.of({"model": "m", "batch": 4, "prompts_seconds": 1, "size": 64, "note": "x"})
    assert (report.model, report.batch, report.prompts_seconds) == ("m", 4, 1.0)
    assert report.metadata == {"size": 64, "note": "x"}


def test_report_of_nothing_is_empty():
    assert Report.of({}) == Report()


def test_merged_report_adds_and_changes_values():
    first = Report.of({"model": "m", "batch": 4, "size": 64, "decoder": "vae"})
    merged = first.merged(Report.of({"batch": 2, "decoder": "tiny", "lanes": 1}))
    assert merged == Report.of(
        {"model": "m", "batch": 2, "size": 64, "decoder": "tiny", "lanes": 1}
    )
    assert first.metadata == {"size": 64, "decoder": "vae"}


def test_a_method_can_not_report_fewer_gpus_than_the_harness_saw():
    assert Report.of({"gpus": 8}).merged(Report.of({"gpus": 1, "gpu": "A"})).gpus == 8
    assert Report().merged(Report.of({"gpus": 2})).gpus == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.arange(3), [0, 1, 2]),
        (torch.tensor(2), 2),
        (torch.ones(2, 1), [[1.0], [1.0]]),
        (Path("/home/me/model.pt"), "model.pt"),
        ({1: (np.int8(1), None)}, {"1": [1, None]}),
        ({"b"}, ["b"]),
    ],
    ids=repr,
)
def test_values_of_a_report_become_plain(value, expected):
    report = Report.of({"fact": value})
    assert report.metadata == {"fact": expected}
    assert report.warnings == []
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("loss", float("nan"), "nan, not a finite number"),
        ("batch", float("inf"), "inf, not a finite number"),
        ("losses", [1.0, np.float32("nan")], "nan, not a finite number"),
        ("count", 10**400, "a number beyond 1e300"),
        ("batch", "many", "'many'"),
        ("weights", object(), "of type object"),
        ("images", torch.zeros(100_001), "an array with more than 100000 numbers"),
    ],
)
def test_a_bad_fact_is_left_out_with_a_warning_that_names_it(name, value, reason):
    report = Report.of({name: value, "good": 1})
    assert report.metadata == {"good": 1}
    assert getattr(report, name, None) is None
    (warning,) = report.warnings
    assert warning == f"the method reported a value of {name!r} that is left out: {reason}"


def test_a_fact_that_contains_itself_is_left_out():
    endless = []
    endless.append(endless)
    assert "nested too deeply" in Report.of({"endless": endless}).warnings[0]


def test_warnings_are_collected_once():
    first = Report.of({"warning": "hot"})
    assert first.merged(Report.of({"warning": "hot"})).warnings == ["hot"]
    assert first.merged(Report.of({"warning": "cold"})).warnings == ["hot", "cold"]


def test_report_survives_json_round_trip():
    report = Report.of({"model": "m", "gpus": 2, "nested": {"a": [1, 2.5, None]}})
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
