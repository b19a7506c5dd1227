"""What child processes report."""

import msgspec
import pytest

from benchmark_adapters.execution.messages import Report


def test_named_values_are_kept_apart_from_others():
    report = Report.of({"model": "m", "batch": 4, "prompts_seconds": 1, "size": 64, "note": "x"})
    assert (report.model, report.batch, report.prompts_seconds) == ("m", 4, 1.0)
    assert report.metadata == {"size": 64, "note": "x"}


def test_nothing_reported_is_an_empty_report():
    assert Report.of({}) == Report()


def test_a_later_report_adds_and_changes():
    first = Report.of({"model": "m", "batch": 4, "size": 64, "decoder": "vae"})
    merged = first.merged(Report.of({"batch": 2, "decoder": "tiny", "lanes": 1}))
    assert merged == Report.of(
        {"model": "m", "batch": 2, "size": 64, "decoder": "tiny", "lanes": 1}
    )
    assert first.metadata == {"size": 64, "decoder": "vae"}


@pytest.mark.parametrize("name", ["batch", "loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(name, value):
    with pytest.raises(ValueError, match="Out of range float values"):
        Report.of({name: value})


def test_named_values_have_types():
    with pytest.raises(TypeError, match=r"task.ready\(batch='many'\): Expected `int"):
        Report.of({"batch": "many"})


def test_values_that_json_does_not_have_are_refused():
    with pytest.raises(TypeError):
        Report.of({"weights": object()})


def test_a_report_survives_the_channel():
    report = Report.of({"model": "m", "gpus": 2, "nested": {"a": [1, 2.5, None]}})
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
