"""Reports of child processes."""

import msgspec
import pytest

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


@pytest.mark.parametrize("name", ["batch", "loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_report_rejects_numbers_that_are_not_finite(name, value):
    with pytest.raises(ValueError, match="Out of range float values"):
        Report.of({name: value})


def test_report_rejects_named_values_of_wrong_type():
    with pytest.raises(TypeError, match=r"task.ready\(batch='many'\): Expected `int"):
        Report.of({"batch": "many"})


def test_report_rejects_values_that_json_cannot_represent():
    with pytest.raises(TypeError):
        Report.of({"weights": object()})


def test_report_survives_json_round_trip():
    report = Report.of({"model": "m", "gpus": 2, "nested": {"a": [1, 2.5, None]}})
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
