"""The child process of a run: executes the method and puts every round it yields on disk.

The harness starts ``python -m benchmark_adapters.execution.worker EVENTS`` and writes the job, one line of JSON, to its
stdin. EVENTS is the file descriptor on which this process tells what happened, one JSON object a line. When
stdin closes, the parent is gone, and so this process group ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmark_adapters import plugins as host
from benchmark_adapters.budget import Budget
from benchmark_adapters.execution import devices
from benchmark_adapters.execution.process_tree import MARK, end_children, end_strays
from benchmark_adapters.types import Dataset, Method, Task, UserError

Send = Callable[..., None]
FACTS = {
    "device": str,
    "model": str,
    "model_sha256": str,
    "model_trained_on": str,
    "batch": int,
    "threads": int,
}


def main() -> None:
    events = os.fdopen(int(sys.argv[1]), "w", buffering=1)
    os.set_inheritable(events.fileno(), False)
    lifeline = os.fdopen(os.dup(0), "rb")
    job = json.loads(lifeline.readline())
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)

    owner = os.getpid()

    def send(kind: str, **facts: Any) -> None:
        if os.getpid() != owner:  # a fork of the method came back here
            os._exit(0)
        events.write(json.dumps({"kind": kind, **facts}, allow_nan=False) + "\n")

    _execute(job, send)
    with contextlib.suppress(Exception):  # the method may have closed it
        sys.stdout.flush()
    end_children()
    send("end")


def _end_with_parent(lifeline: Any) -> None:
    lifeline.read()
    end_children()
    end_strays(os.environ[MARK])
    os.killpg(0, signal.SIGKILL)


def _execute(job: dict[str, Any], send: Send) -> None:
    from benchmark_adapters.distilled import InvalidImages

    try:
        parts = host.build()
        dataset, method = parts.get("datasets", job["dataset"]), parts.get("methods", job["method"])
        _rounds(
            method,
            _task(job, dataset, send),
            Budget(job["limit"], job["deadline"]),
            Path(job["rounds"]),
            send,
        )
    except InvalidImages as error:
        send("invalid", message=str(error))
    except UserError as error:
        send("error", message=str(error))
    except (Exception, SystemExit) as error:  # a method may fail in any way; its record says how
        with contextlib.suppress(Exception):
            traceback.print_exc()
        send("error", message=f"the method raised {type(error).__name__}: {error}")


def _task(job: dict[str, Any], dataset: Dataset, send: Send) -> Task:
    def training_images() -> Any:
        from benchmark_adapters import datasets

        if not job["real_data"]:
            raise UserError(f"track {job['track']} gives methods no real training images")
        send("real_data")
        return datasets.load(
            dataset, "train", Path(job["data"]) if job["data"] else None, job["bundled"]
        )

    def ready(**facts: Any) -> None:
        send("ready", facts=_checked(facts))

    def report(**facts: Any) -> None:
        send("facts", facts=_checked(facts))

    return Task(
        track=job["track"],
        dataset=dataset,
        seed=job["seed"],
        device=devices.resolve(job["device"]),
        ipc=job["ipc"],
        options=job["options"],
        training_images=training_images,
        ready=ready,
        report=report,
        part=job["part"],
        parts=job["parts"],
    )


def _checked(facts: dict[str, Any]) -> dict[str, Any]:
    for name, kind in FACTS.items():
        if not isinstance(facts.get(name), kind | None):
            raise TypeError(f"task.ready({name}={facts[name]!r}): expected {kind.__name__}")
    return facts


def _rounds(method: Method, task: Task, budget: Budget, folder: Path, send: Send) -> None:
    """Writes each round to a file of its own, until every class has its images."""
    import numpy as np

    from benchmark_adapters.distilled import InvalidImages, check_batch
    from benchmark_adapters.runs.collect import write_round

    counts = np.zeros(task.dataset.num_classes, np.int64)
    send("ready", facts=devices.facts(task.device))
    rounds = method.distill(task, budget)
    if not isinstance(rounds, Iterable):
        raise InvalidImages(
            f"distill returned {type(rounds).__name__}, expected a generator of rounds"
        )
    for number, value in enumerate(rounds):
        images, labels, generated = check_batch(value, task.dataset)
        path = folder / f"{task.part}-{number:07}.safetensors"
        write_round(path, images, labels, generated)
        counts += np.bincount(labels, minlength=len(counts))
        send(
            "round",
            file=path.name,
            images=len(images),
            generated=int(generated.sum()),
            ipc=int(counts.min()),
        )
        if task.ipc is not None and counts.min() >= task.ipc and task.parts == 1:
            break


if __name__ == "__main__":
    main()
