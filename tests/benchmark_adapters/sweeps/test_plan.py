"""The plan of a sweep: ranges, lists and options become requests."""

import pytest

from benchmark_adapters.runs.request import Request, plan_runs
from benchmark_adapters.sweeps import plan as plans
from benchmark_adapters.types import UserError

PLAN = """
track = ["few", "pair"]
ipc = [1, "max"]
seed = "0..1"
repeats = 2
threads = 1

[[method]]
name = "good"

[[method]]
name = "options"
option = { number = [1, 2], flag = true }
"""


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a plan with this text."""

    def read(text):
        (tmp_path / "plan.toml").write_text(text)
        return plans.read(tmp_path / "plan.toml")

    return read


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [3]),
        ("0..4", [0, 1, 2, 3, 4]),
        ("1,10,50", [1, 10, 50]),
        (["5..5", 7, " 1 , 2"], [5, 7, 1, 2]),
        ("1,max,1", [1, "max"]),
    ],
)
def test_ranges_include_both_ends(value, expected):
    assert plans.numbers("ipc", value, word="max") == expected


@pytest.mark.parametrize("value", ["", "4..0", "0..1000000", "1-3", "max", "-1", "1.5", "0..", "²"])
def test_other_ranges_are_refused(value):
    with pytest.raises(UserError, match=r"seed .*: expected numbers such as"):
        plans.numbers("seed", value)


def test_a_plan_is_every_combination_and_ends_with_the_last_seed(read):
    found = plans.requests(read(PLAN), Request(threads=4))
    assert len(found) == 2 * 2 * 2 * 3
    assert [request.seed for request in found] == [0] * 12 + [1] * 12
    assert [(request.method, request.options) for request in found[:3]] == [
        ("good", ()),
        ("options", ("number=1", "flag=true")),
        ("options", ("number=2", "flag=true")),
    ]
    assert {(one.track, one.ipc) for one in found} == {
        ("few", 1),
        ("few", "max"),
        ("pair", 1),
        ("pair", "max"),
    }
    assert {(one.repeats, one.threads) for one in found} == {(2, 1)}


def test_a_method_may_have_shards_of_its_own(read, example_plugins):
    text = "track = 'few'\nshards = 2\nmethod = [{name = 'divided'}, {name = 'good', shards = 1}]"
    found = plans.runs(plans.requests(read(text), Request()), example_plugins)
    shards = [[one.sampling.shard for one in plans.shards(plan)] for plan in found]
    assert shards == [[(0, 2), (1, 2)], []]
    for shard in plans.shards(found[0]):
        # A worker plans it from its request.
        assert plan_runs(shard.scoring.request, example_plugins) == [shard]


def test_runs_have_one_dataset_each(read, example_plugins):
    found = plans.runs(plans.requests(read(PLAN), Request(device="cpu")), example_plugins)
    assert len(found) == 36
    assert {plan.scoring.request.dataset for plan in found} == {"few", "few-too"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1\n" + PLAN, r"plan.toml: .*unknown field `sed`; keys are method, track"),
        ("method = []", "the plan names no method"),
        ("track = 'few'", "missing required field `method`"),
        (PLAN.replace('"good"', "3"), r"Expected `str`, got `int` - at `\$.method\[0\].name`"),
        (PLAN + "speed = 1", "unknown field `speed` .*; keys are name, option, shards$"),
        ("method = [", r"plan.toml: "),
        (PLAN.replace("threads = 1", "threads = 0"), "--threads 0: expected 1 to"),
        (PLAN.replace('"good"', '"godo"'), "unknown method 'godo'"),
    ],
)
def test_mistakes_in_a_plan_are_one_line(read, example_plugins, text, message):
    with pytest.raises(UserError, match=message) as error:
        plans.runs(plans.requests(read(text), Request()), example_plugins)
    assert "\n" not in str(error.value)
