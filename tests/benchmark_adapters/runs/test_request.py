"""Invalid requests are refused before anything runs."""

import re
import shutil
from dataclasses import replace

import pytest
from small_runs import run

from benchmark_adapters import datasets
from benchmark_adapters.runs.request import Request, plan_runs, plan_scoring
from benchmark_adapters.types import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "godo"}, "did you mean good"),
        ({"track": "quick"}, "did you mean quickstart"),
        ({"dataset": "cifar11"}, "did you mean cifar"),
        ({"dataset": "cifar10"}, "track few has no dataset cifar10"),
        ({"students": ("convnet9",)}, "unknown student"),
        ({"ipc": 0}, "--ipc 0: expected"),
        ({"ipc": "-1"}, "--ipc -1: expected"),
        ({"ipc": "many"}, "--ipc many: expected"),
        ({"ipc": "1.5"}, "--ipc 1.5: expected"),
        ({"ipc": 10**9}, "expected a number from 1 to"),
        ({"time_limit": -1}, "--time-limit -1"),
        ({"time_limit": 0}, "--time-limit 0"),
        ({"time_limit": float("nan")}, "--time-limit nan"),
        ({"time_limit": float("inf")}, "--time-limit inf"),
        ({"time_limit": 86_401}, "--time-limit 86401"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 10**20}, "--seed 1000"),
        ({"repeats": -1}, "--repeats -1"),
        ({"options": ["nonsense"]}, "expected KEY=VALUE"),
        ({"options": ["size=3"]}, "good has no option 'size'; it has: none"),
        ({"method": "options", "options": ["number=x"]}, "number=x: expected int"),
        ({"method": "options", "options": ["share=x"]}, "share=x: expected float"),
        ({"method": "options", "options": ["share=nan"]}, "share=nan: expected a finite number"),
        ({"method": "options", "options": ["flag=x"]}, "flag=x: expected true or false"),
        ({"method": "options", "options": ["text=c"]}, "text=c: expected one of a, b"),
    ],
)
def test_invalid_requests_are_refused_before_anything_runs(
    example_plugins, tmp_path, settings, message
):
    with pytest.raises(UserError, match=re.escape(message)):
        run(example_plugins, tmp_path, **{"method": "good", **settings})
    assert not (tmp_path / "runs").exists()


def test_missing_data_is_reported_before_anything_begins(example_plugins, tmp_path):
    with pytest.raises(UserError, match=r"dataset cifar100 was not found in .*--download"):
        run(
            example_plugins,
            tmp_path,
            "good",
            track="eccv2024-fixed",
            dataset="cifar100",
            data=tmp_path,
        )
    # The track's first dataset is available, the second is not.
    shutil.copytree(datasets.FASHION_MNIST.bundled, tmp_path / "few")
    with pytest.raises(UserError, match="dataset absent was not found in"):
        plan_runs(Request("good", track="half", data=tmp_path), example_plugins)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("repeats", "counts"), [(None, {10: 5, 50: 3}), (2, {10: 2, 50: 2})])
def test_a_track_has_fewer_repeats_where_scoring_takes_long(example_plugins, repeats, counts):
    """The IPC of a file is known only after it was read."""
    (plan,) = plan_scoring(Request("good", seed=4, repeats=repeats), example_plugins)
    plan = replace(plan, track=example_plugins.tracks["fashion-mnist"])
    assert {ipc: plan.for_ipc(ipc).seeds for ipc in counts} == {
        ipc: tuple(range(4, 4 + count)) for ipc, count in counts.items()
    }
