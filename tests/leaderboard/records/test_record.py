"""Records as JSON: round trips and validation."""

import json

import pytest
from made_records import record

from leaderboard.records.record import (
    SCHEMA,
    Copies,
    Finding,
    OfficialScore,
    Origin,
    Reason,
    Record,
    ScoringRuntime,
    ShardOrigin,
)

DEEP = json.loads(100 * "[" + 100 * "]")


def test_record_round_trips_through_json():
    full = record(
        confusion=[[1, 2], [3, 4]],
        metadata={"x": [1]},
        not_comparable_because=[Reason("ipc", "IPC 3 instead of 20")],
        failed_stage="scoring",
        interrupted=True,
        origin=Origin("shards", shards=[ShardOrigin("one", {"cores": 2}, {"torch": "2"})]),
        scoring=ScoringRuntime("cpu", 2, "auto", {"convnet3": "fused"}, "no compiler"),
        checks=[Finding("warning", "classes", "odd")],
        copies=Copies(0.0, 0.25, 0.5, None),
        official=OfficialScore(["cifar100"], 0.5, 9.0),
    )
    assert Record.from_json(full.to_json()) == full


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": SCHEMA + 1}, "is newer than"),
        ({"schema": None}, "not a record"),
        ({"schema": True}, "not a record"),
        ({"schema": 0}, "not a record"),
        ({"method": None}, r"got `null` - at `\$.method`"),
        ({"status": "fine"}, r"'fine' - at `\$.status`"),
        ({"comparable": 1}, r"got `int` - at `\$.comparable`"),
        ({"batch": True}, r"got `bool` - at `\$.batch`"),
        ({"explicit_options": ["a", 3]}, r"\$.explicit_options\[1\]"),
        ({"accuracy_ci95": ["x", 1]}, r"\$.accuracy_ci95\[0\]"),
        ({"seconds": {"load": "1"}}, r"\$.seconds.load"),
        ({"accuracies": [1.5, 0.2, 0.3]}, r"<= 1.0 - at `\$.accuracies\[0\]`"),
        ({"accuracies": "high"}, r"\$.accuracies"),
        ({"accuracy_mean": 0.99}, "accuracy_mean does not match the accuracies"),
        ({"accuracy_ci95": [0.1, 0.2]}, "accuracy_ci95 does not match the accuracies"),
        ({"accuracy_ci95": None}, "accuracy_ci95 does not match the accuracies"),
        ({"seeds": [1]}, "1 seed for 3 accuracies"),
        ({"ipc": "many"}, r"\$.ipc"),
        ({"run_id": "../../elsewhere"}, r"\$.run_id"),
        ({"images_per_second": float("inf")}, "Infinity is not a valid number"),
        ({"confusion": [[1, 2], [3]]}, "confusion is not square"),
        ({"confusion": [[1, True], [3, 4]]}, r"\$.confusion\[0\]\[1\]"),
        ({"confusion": [[1, -5], [3, 4]]}, r">= 0 - at `\$.confusion\[0\]\[1\]"),
        ({"confusion": [[10**400, 1], [3, 4]]}, r"\$.confusion\[0\]\[0\]"),
        ({"ipc": 10**400}, r"\$.ipc"),
        ({"ipc": -1}, r">= 0 - at `\$.ipc"),
        ({"images_per_second": 10**400}, r"\$.images_per_second"),
        ({"seconds": {"load": 1e308}}, r"\$.seconds.load"),
        ({"seconds": {"load": -1.0}}, r">= 0.0 - at `\$.seconds.load"),
        ({"batch": -7}, r">= 0 - at `\$.batch"),
        ({"seeds": [0, 1, 10**400]}, r"\$.seeds\[2\]"),
        ({"other_students": {"mlp": [3.0]}}, r"<= 1.0 - at `\$.other_students"),
        ({"metadata": {"deep": DEEP}}, "metadata is nested too deeply"),
        ({"options": {"deep": DEEP}}, "options is nested too deeply"),
        ({"metadata": {"large": [1e300]}}, "metadata is nested too deeply or contains too large a"),
        ({"origin": {"shards": [{"run_id": "a", "hardware": {"x": DEEP}}]}}, "origin.shards is"),
        ({"options": {"n": float("nan")}}, "NaN is not a valid number"),
        ({"method": " "}, r"\$.method"),
        ({"run_id": 100 * "\u6d4b"}, r"\$.run_id"),
        ({"images_sha256": "\x1b[0m"}, r"\$.images_sha256"),
        ({"images_sha256": "name\n"}, r"\$.images_sha256"),
        ({"shard": "x"}, r"\$.shard"),
        ({"failed_stage": "lunch"}, r"\$.failed_stage"),
        ({"checks": [{"level": "joke"}]}, r"\$.checks\[0\].level"),
        ({"copies": {"test_exact": 2}}, r"<= 1.0 - at `\$.copies.test_exact`"),
        ({"origin": {"kind": "thin air"}}, r"\$.origin.kind"),
    ],
)
def test_damaged_records_are_refused(change, message):
    values = json.loads(record().to_json()) | change
    with pytest.raises(ValueError, match=message) as refused:
        Record.from_json(json.dumps(values))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"schema": 3', '{"schema": 3, "schema": "x"}'])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Record.from_json(text)


def test_unknown_fields_are_ignored_and_missing_ones_named():
    values = json.loads(record().to_json())
    assert Record.from_json(json.dumps({**values, "later": 1})) == record()
    del values["method"]
    with pytest.raises(ValueError, match="missing required field `method`"):
        Record.from_json(json.dumps(values))


def test_lone_surrogates_are_replaced_and_pairs_kept():
    """They come from file names that are not UTF-8, and no page could contain them."""
    values = json.loads(record().to_json()) | {"method": "half \ud800, whole \U0001f600"}
    assert Record.from_json(json.dumps(values)).method == "half ?, whole \U0001f600"


def test_to_json_refuses_nan():
    with pytest.raises(ValueError, match="Out of range"):
        record(images_per_second=float("nan")).to_json()
