"""Do the work of child processes in this process, so that they need not import torch again."""

import contextlib
import time
from pathlib import Path

import msgspec

from benchmark_adapters.execution import (
    child,
    decoder,
    journal,
    messages,
    sandbox,
    scorer,
    student_trial,
    supervisor,
    worker,
)
from benchmark_adapters.execution import outcome as outcome_module

WORK = {
    sandbox.DECODER: decoder.decode,
    sandbox.SCORER: scorer.score,
    sandbox.TRIAL: student_trial.measure,
}


def run(module, jobs, limits, on_event, environments=({},), prefix=()):
    """Replace `sandbox.run`, without limits. Jobs and events still go through JSON."""
    failures = []

    def send(event):
        event = msgspec.json.decode(msgspec.json.encode(event), type=messages.SandboxEvent)
        if isinstance(event, messages.Failed):
            failures.append(event)
        else:
            on_event(event)

    work = child.guarded(WORK[module])
    for job in jobs:
        work(msgspec.json.decode(msgspec.json.encode(job), type=type(job)), send)
    for failure in failures:
        if failure.cause == "user":
            raise sandbox.UserError(failure.text)
        raise sandbox.SandboxFailed(failure.cause, f"its process failed with {failure.text}")


class Stopped(BaseException):
    """Raised to stop a method.

    It is not an `Exception`, so the worker does not report it as an error of the method.
    """


def supervise(
    jobs,
    limit,
    folder,
    on_batch=lambda outcome: None,
    on_phase=lambda event: None,
    bounds=None,
    prefix=(),
):
    """Replace `supervisor.supervise`: run one job after another, without a limit."""
    (folder / "batches").mkdir()
    outcomes, began = [], time.monotonic()
    events = journal.Journal(folder, lambda: time.monotonic() - began)
    for process_job in jobs:
        outcomes.append(outcome_module.Outcome())
        job = msgspec.structs.replace(
            process_job.job, batches=str(folder / "batches"), limit=limit, deadline=began + limit
        )
        with contextlib.suppress(Stopped):
            _execute(job, outcomes, events, folder / "batches", on_batch, on_phase)
    events.close()
    (folder / "log.txt").write_text("")
    return outcome_module.joined(outcomes, jobs[0].job.ipc is None)


def _execute(job, outcomes, events, batches: Path, on_batch, on_phase) -> None:
    outcome = outcomes[-1]

    def send(event):
        event = msgspec.json.decode(msgspec.json.encode(event), type=messages.MethodEvent)
        outcome_module.record_event(outcome, event, events.elapsed(), batches)
        events.note(len(outcomes) - 1, event)
        try:
            if isinstance(event, messages.BatchWritten):
                on_batch(outcome)
            if isinstance(event, messages.PhaseProgressed):
                on_phase(event)
        except supervisor.StopSampling:
            outcome.end = "done"
            raise Stopped from None

    worker.execute(job, send)
    send(messages.Ended())
