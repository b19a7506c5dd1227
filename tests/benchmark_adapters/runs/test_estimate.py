"""The cost model: its coefficients, and the plan that follows from them."""

import json

import pytest

from benchmark_adapters.execution.messages import Report
from benchmark_adapters.execution.outcome import Batch, Outcome
from benchmark_adapters.runs import estimate
from benchmark_adapters.runs.estimate import Cost, Trace, _steady, fit

COST = Cost(
    start=5.0, prompts=2, per_prompt=0.01, per_batch=0.1, per_image=0.02, copies=2.0, batch=16
)


def test_seconds_match_calculation_by_hand():
    # 3 sampled images for each of 10 classes are 30 images in 2 batches. There are 20 prompts.
    assert COST.seconds(ipc=5, classes=10) == pytest.approx(5 + 20 * 0.01 + 2 * 0.1 + 30 * 0.02)
    assert COST.seconds(ipc=5, classes=10, batch=4) == pytest.approx(5 + 0.2 + 8 * 0.1 + 0.6)


@pytest.mark.parametrize("limit", [5.5, 7.0, 60.0, 600.0])
def test_max_ipc_is_the_largest_that_fits(limit):
    most = COST.max_ipc(limit, classes=10)
    assert COST.seconds(most, 10) <= limit if most else True
    assert COST.seconds(most + 1, 10) > limit


def test_max_ipc_is_zero_without_time():
    assert COST.max_ipc(1.0, 10) == 0


def test_fit_recovers_coefficients():
    traces = []
    for batch in (16, 4):
        sampled = [batch] * 50
        seconds = [(number + 1) * (0.1 + 0.02 * batch) for number in range(50)]
        traces.append(Trace(batch, seconds, sampled))
    outcome = Outcome(
        load=5.2, sampled=800, images=1600, report=Report(prompts_encoded=20, prompts_seconds=0.2)
    )
    cost = fit(outcome, traces, classes=10)
    assert (cost.start, cost.prompts, cost.copies, cost.batch) == (pytest.approx(5.0), 2, 2, 16)
    assert cost.per_batch == pytest.approx(0.1)
    assert cost.per_image == pytest.approx(0.02)
    assert cost.per_prompt == pytest.approx(0.01)


def test_plan_shows_what_fits_and_leaves_no_run(ddbench, methods_here, tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "MIN_SECONDS", 0.5)
    done = ddbench(
        "run", "--method", "generative-turbo", "--plan", "--json", "--option", "pda=none"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    rows = document["plan"]
    assert rows[0]["ipc"] == 1
    assert all(row["fits"] == (row["seconds"] <= 60) for row in rows)
    # The recipe has a fixed number of steps, which are full batches from 7 images per class on.
    assert rows[-1]["scoring_seconds"] == rows[-2]["scoring_seconds"] > 0
    assert document["copies"] == 1
    assert (
        (tmp_path / "runs" / "plans" / "quickstart-fashion-mnist-generative-turbo.svg")
        .read_text()
        .startswith("<?xml")
    )
    assert not list((tmp_path / "runs").glob("*/*/*/*/record.json"))


def test_plan_refuses_several_processes(ddbench):
    done = ddbench("run", "--method", "generative-turbo", "--plan", "--processes", "2")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --plan measures a single process; leave out --processes and --shard\n",
    )


def test_steady_batches_exclude_the_search_for_a_batch_size():
    pairs = [(5.0, 4), (5.1, 4), (5.2, 8), (5.5, 16), (6.0, 16), (6.5, 16)]
    batches = [Batch(*pair) for pair in pairs]
    assert _steady(Outcome(batches=batches)) == batches[3:]


def test_plan_reports_failure_of_the_method(ddbench, example_folder):
    done = ddbench("run", "--method", "raises", "--track", "few", "--plan", path=[example_folder])
    assert done.returncode == 2
    assert (
        "the trial of raises failed: the method raised RuntimeError: the model exploded"
        in done.stderr
    )
