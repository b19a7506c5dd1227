"""Sets of several devices: what counts as a device, and which tracks take them."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from forgeries import TRUE
from made_records import record

from leaderboard.analysis import verdicts
from leaderboard.analysis.demands import Demands, RealTest
from leaderboard.records.record import Origin, Record, Seconds, ShardOrigin

DEMANDS = Demands(
    datasets={"fashion-mnist": RealTest(10_000, 10, 1000, TRUE["data_sha256"])},
    time_limit=60,
    ipc=(20,),
    recipe=TRUE["recipe"],
    recipe_sha256=TRUE["recipe_sha256"],
    student="convnet3",
    repeats=3,
    devices=3,
)
GPUS = {"gpu": "A", "gpus": 2}


def shard(number, count=2, **changes):
    """Return a shard as a record describes it, which took 30 or more seconds."""
    seconds = {"load": 10.0, "generate": 20.0 + number, "limit": 60.0}
    return {
        "run_id": f"run-{number}",
        "images_sha256": f"images-{number}",
        "shard": f"{number}/{count}",
        "seconds": seconds,
        "hardware": {"cpu": "A CPU", "cores": 2},
        **changes,
    }


def merged(*shards, **changes):
    """Return the values of a set that was merged from shards, two by default."""
    shards = shards or (shard(0), shard(1))
    seconds = {**TRUE["seconds"], "load": 10.0, "generate": 21.0, "used": None, "limit": 60.0}
    origin = {**TRUE["origin"], "kind": "shards", "shards": list(shards)}
    return {**TRUE, "seconds": seconds, "origin": origin, "hardware": {}, **changes}


def reasons(values, devices=3):
    """Return the codes and the texts of the verdict on a record."""
    read = Record.from_json(json.dumps(values))
    demands = {"quickstart": replace(DEMANDS, devices=devices)}
    (judged,) = verdicts.judged([read], demands, datetime(2027, 1, 1, tzinfo=UTC))
    return [(reason.code, reason.text) for reason in judged.not_comparable_because]


def test_a_merged_set_is_ranked_where_the_track_allows_its_devices():
    assert reasons(merged()) == reasons(merged(), devices=2) == []
    assert [code for code, _ in reasons(merged(), devices=1)] == ["merged"]
    three = [shard(number, 3) for number in range(3)]
    seconds = {**merged()["seconds"], "generate": 22.0}
    assert reasons(merged(*three, seconds=seconds)) == []
    assert reasons(merged(*three, seconds=seconds), devices=2) == [
        ("devices", "3 devices instead of 2")
    ]


def test_shards_may_load_and_generate_at_different_speeds():
    """No shard takes as long as the slowest loading and the slowest generating together."""
    slow = {"load": 50.0, "generate": 5.0, "limit": 60.0}
    busy = {"load": 5.0, "generate": 54.0, "used": 60.0, "limit": 60.0}
    seconds = {**TRUE["seconds"], **busy}
    assert reasons(merged(shard(0, seconds=slow), shard(1, seconds=busy), seconds=seconds)) == []


def test_gpus_are_devices():
    one = {**TRUE, "hardware": {**GPUS, "gpus": 4}}
    assert reasons(one) == [("devices", "4 devices instead of 3")]
    # A track of one device takes any machine.
    assert reasons(one, devices=1) == []
    both = merged(shard(0, hardware=GPUS), shard(1, hardware=GPUS))
    assert reasons(both) == [("devices", "4 devices instead of 3")]
    assert reasons(both, devices=4) == []


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (merged(shard(0, 8), shard(1, 8)), "8 devices instead of 3"),
        (merged(shard(0), shard(1, 8)), "shards of different sets"),
        (merged(shard(0), shard(2)), "shards of different sets"),
        (merged(shard(0), shard(1, shard="0/2")), "the same shard twice"),
        (merged(shard(0), shard(1, run_id="run-0")), "the same shard twice"),
        (merged(shard(0), shard(1, images_sha256="images-0")), "the same shard twice"),
        (merged(shard(0), shard(1, shard=None)), "whose times are not in the record"),
        (merged(shard(0), shard(1, seconds={})), "whose times are not in the record"),
        ({**TRUE, "origin": {"kind": "shards"}}, "whose times are not in the record"),
        (
            merged(seconds={**merged()["seconds"], "generate": 1.0}),
            "but its slowest shard in 31.0 s",
        ),
        (
            merged(shard(0), shard(1, seconds={"load": 10.0, "generate": 21.0, "limit": 90.0})),
            "shard 1/2 has another time limit than the set",
        ),
        (
            merged(
                shard(0),
                shard(1, seconds={"load": 10.0, "generate": 80.0, "limit": 60.0}),
                seconds={**merged()["seconds"], "generate": 80.0},
            ),
            "shard 1/2 made in 90.0 s within a limit of 60 s",
        ),
        (merged(shard(0, hardware={**GPUS, "gpus": 9}), shard(1)), "10 devices instead of 3"),
    ],
)
def test_what_a_record_says_about_its_shards_has_to_fit(values, problem):
    texts = [text for _, text in reasons(values)]
    assert any(problem in text for text in texts), texts


@pytest.mark.parametrize("gpus", [True, -1, 0, "8", None, 2.0])
def test_odd_numbers_of_gpus_are_one_device(gpus):
    assert record(hardware={"gpus": gpus}).devices == 1


def test_device_seconds_are_those_of_all_devices():
    made = record(hardware=GPUS)
    assert (made.devices, made.device_seconds) == (2, 12.0)
    assert record().device_seconds == 6.0
    assert record(limit_enforced=False).device_seconds is None
    shards = [
        ShardOrigin("a", GPUS, seconds=Seconds(load=1.0, generate=2.0), shard="0/3"),
        ShardOrigin("b", seconds=Seconds(load=1.0, used=9.0), shard="1/3"),
    ]
    joined = record(origin=Origin("shards", shards=shards))
    # The third shard is missing, and took a device for an unknown time.
    assert (joined.devices, joined.device_seconds) == (4, 15.0)
    old = record(origin=Origin("shards", shards=[shards[0], ShardOrigin("b")]))
    assert old.device_seconds is None
