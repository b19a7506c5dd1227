"""Records of schemas 1 and 2 are upgraded, and what they stored in text becomes fields."""

import json

import pytest
from made_records import record
from project import ROOT

from leaderboard.records import store
from leaderboard.records.record import (
    SCHEMA,
    Finding,
    OfficialScore,
    Origin,
    Reason,
    Record,
    ScoringRuntime,
    ShardOrigin,
)

OLD = {"explicit_options": "given", "category": "division", "other_students": "cross"}
NEW = ("failed_stage", "interrupted", "origin", "scoring", "checks", "official", "model_licence")


def read(schema=2, **changes):
    """Return the upgraded form of a record of an older schema with ``changes``."""
    values = json.loads(record().to_json()) | {"schema": schema, "facts": {}}
    values = {OLD.get(name, name): value for name, value in values.items()}
    for name in (*NEW, "metadata", *(("repeats", "processes") if schema == 1 else ())):
        del values[name]
    return Record.from_json(json.dumps(values | changes))


def test_committed_runs_are_readable():
    """Earlier versions created them."""
    entries, problems = store.entries([ROOT / "docs" / "runs"])
    assert len(entries) >= 7
    assert problems == []
    assert {found.schema for _, found in entries} == {SCHEMA}
    assert "Apache-2.0" in {found.model_licence for _, found in entries}


def test_schema_1_gets_repeats_and_processes():
    old = read(schema=1, facts={"processes": 4})
    assert (old.schema, old.repeats, old.processes, old.metadata) == (SCHEMA, 3, 4, {})


def test_schema_2_fields_are_renamed():
    old = read(given=["a=1"], division="IPC 1", cross={"mlp": [0.5]}, facts={"lanes": 2})
    assert (old.explicit_options, old.category) == (["a=1"], "IPC 1")
    assert (old.other_students, old.metadata) == ({"mlp": [0.5]}, {"lanes": 2})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("status timeout", "status"),
        ("limit 5 s instead of 60 s", "time-limit"),
        ("IPC 3 instead of 10 or 20", "ipc"),
        ("joined from 3 shards, each with a clock of its own", "merged"),
        ("1 repeats instead of 3", "repeats"),
        ("recipe dsa/1 instead of quickstart/1", "recipe"),
        ("student mlp", "student"),
        ("1000 test images instead of 10000", "test-images"),
        ("shard 0 of 2", "shard"),
        ("it rained", "unknown"),
    ],
)
def test_reasons_get_codes(text, code):
    assert read(not_comparable_because=[text]).not_comparable_because == [Reason(code, text)]


@pytest.mark.parametrize(
    ("changes", "stage", "interrupted"),
    [
        ({"status": "ok"}, None, False),
        ({"status": "timeout", "message": "interrupted"}, None, False),
        ({"status": "error", "message": "interrupted"}, "sampling", True),
        ({"status": "invalid", "message": "interrupted"}, "sampling", False),
        ({"status": "error", "message": "scoring failed: no room"}, "scoring", False),
        (
            {"status": "error", "message": "scoring failed, the images are kept: interrupted"},
            "scoring",
            True,
        ),
        ({"status": "invalid", "limit_enforced": False, "message": "x"}, "reading", False),
        ({"status": "error", "facts": {"scored_run": "a"}, "message": "x"}, "reading", False),
    ],
)
def test_failures_get_a_stage(changes, stage, interrupted):
    old = read(**changes)
    assert (old.failed_stage, old.interrupted) == (stage, interrupted)


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({}, Origin()),
        ({"facts": {"repeats_run": "a"}}, Origin(reruns="a")),
        ({"limit_enforced": False}, Origin("file")),
        (
            {"limit_enforced": False, "facts": {"file": "x.pt", "format": "mtt"}},
            Origin("file", file="x.pt", format="mtt"),
        ),
        ({"facts": {"scored_run": "a"}}, Origin("run", run_id="a")),
        (
            {"facts": {"shards": [{"run_id": "a", "commit": "c"}]}},
            Origin("shards", shards=[ShardOrigin("a", commit="c")]),
        ),
        (
            {"facts": {"scored_run": "a", "shards": [{"run_id": "b"}]}},
            Origin("run", run_id="a", shards=[ShardOrigin("b")]),
        ),
    ],
)
def test_facts_become_the_origin(changes, origin):
    old = read(**changes)
    assert (old.origin, old.metadata) == (origin, {})


def test_facts_become_fields():
    old = read(
        facts={
            "scored_on": {"device": "cpu", "threads": 2},
            "official": {"correct": 0.5, "seconds": 3.0, "datasets": ["cifar100"]},
            "checks": ["error: bad: worse", "odd"],
            "model_licence": "MIT",
        }
    )
    assert old.scoring == ScoringRuntime("cpu", 2)
    assert old.official == OfficialScore(["cifar100"], 0.5, 3.0)
    assert old.checks == [Finding("error", text="bad: worse"), Finding("note", text="odd")]
    assert (old.model_licence, old.metadata) == ("MIT", {})


ODD = {
    "scored_on": 5,
    "official": {"correct": "x"},
    "checks": [1],
    "model_licence": [],
    "scored_run": 3,
    "shards": [{"run_id": 5}],
}


def test_facts_of_unexpected_types_stay_in_the_metadata():
    old = read(facts=ODD)
    assert (old.metadata, old.origin) == (ODD, Origin())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"facts": 5}, "metadata"),
        ({"facts": 5, "status": "error"}, "metadata"),
        ({"given": None}, "explicit_options"),
        ({"not_comparable_because": "x"}, "not_comparable_because"),
        ({"not_comparable_because": [3]}, "not_comparable_because"),
        ({"message": None}, "message"),
        ({"message": None, "status": "error"}, "message"),
        ({"status": []}, "status"),
    ],
)
def test_damaged_old_records_are_refused(changes, field):
    with pytest.raises(ValueError, match=field):
        read(**changes)
