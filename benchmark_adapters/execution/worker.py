"""The child process of a run: execute the method and write every batch that it yields to disk.

The parent's end is `benchmark_adapters.execution.supervisor`.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters import memory, method_files, own_data, plugins
from benchmark_adapters.budget import Budget
from benchmark_adapters.execution import child, devices
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import (
    MAX_PHASE,
    BatchWritten,
    BrokeContract,
    Failed,
    MethodJob,
    PhaseProgressed,
    Ready,
    RealDataUsed,
    Report,
    Reported,
)
from benchmark_adapters.types import (
    Dataset,
    Method,
    Recipe,
    Replacement,
    Task,
    UserError,
    one_line,
    resolve,
)

if TYPE_CHECKING:
    from benchmark_adapters.types import Array


def execute(job: MethodJob, send: Send) -> None:
    """Run the job's method; send whatever it raises as an event."""
    from benchmark_adapters.distilled import InvalidImages

    method: Method | None = None
    memory.keep_freed_memory()
    try:
        installed = plugins.build()
        dataset = own_data.find_for_job(installed, job.dataset)
        method = method_files.find(installed, job.method)
        method_files.keep_importable(method)
        recipe = installed.recipes.require(job.recipe)
        task, budget = _task(job, dataset, recipe, send), Budget(job.limit, job.deadline)
        _write_batches(method, task, budget, Path(job.batches), send)
    except InvalidImages as error:
        send(BrokeContract(one_line(error)))
    except UserError as error:
        send(Failed("user", one_line(error)))
    except (Exception, SystemExit) as error:
        # A method may fail in any way, and its record has to say how.
        with contextlib.suppress(Exception):
            traceback.print_exc()
        where = _where(error, method)
        text = one_line(f"{type(error).__name__}: {error}")
        send(Failed("exception", f"the method raised {text}{where}"))
    # The method may have closed stdout.
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _where(error: BaseException, method: Method | None) -> str:
    """Return file and line of the method's own code that raised an exception; "" if none did."""
    if method is None:
        return ""
    module = sys.modules.get(_package(method))
    own = Path(method.file or getattr(module, "__file__", None) or "")
    # All modules of the method's package are its own code.
    own = own.parent if own.name == "__init__.py" else own
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(own)
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _package(method: Method) -> str:
    """Return the name of the package, or of the module outside of one, that defines a method."""
    target = method.distill
    name = target if isinstance(target, str) else getattr(target, "__module__", __name__)
    return name.partition(":")[0].partition(".")[0]


def _task(job: MethodJob, dataset: Dataset, recipe: Recipe, send: Send) -> Task:
    def training_images() -> tuple[Array, Array]:
        from benchmark_adapters import datasets

        if not job.real_data:
            raise UserError(f"track {job.track} does not allow real training images")
        send(RealDataUsed())
        return datasets.load(dataset, "train", Path(job.data) if job.data else None, job.bundled)

    def ready(**values: Any) -> None:
        send(Ready(Report.of(values)))

    def report(**values: Any) -> None:
        send(Reported(Report.of(values)))

    def progress(name: str, done: int, total: int | None = None) -> None:
        # Counts may be numbers of numpy.
        counts = int(done), None if total is None else int(total)
        send(PhaseProgressed(one_line(name, MAX_PHASE), *counts))

    return Task(
        track=job.track,
        dataset=dataset,
        seed=job.seed,
        device=devices.resolve(job.device),
        ipc=job.ipc,
        options=job.options,
        training_images=training_images,
        ready=ready,
        report=report,
        part=job.part,
        parts=job.parts,
        recipe=recipe,
        progress=progress,
        memory=job.memory,
    )


def _write_batches(method: Method, task: Task, budget: Budget, folder: Path, send: Send) -> None:
    """Write each batch to its own file until every class has its images or the method ends.

    Args:
        method: the method to run.
        task: its task.
        budget: its budget.
        folder: folder for the batch files.
        send: sends an event to the parent.

    Raises:
        InvalidImages: the method yielded something other than images and labels of its dataset.
    """
    import numpy as np

    from benchmark_adapters.distilled import InvalidImages, check_batch
    from benchmark_adapters.execution.batches import write_batch

    counts = np.zeros(task.dataset.num_classes, np.int64)
    send(Ready(Report.of(devices.description(task.device))))
    batches = resolve(method.distill)(task, budget)
    if not isinstance(batches, Iterable):
        raise InvalidImages(
            f"distill returned {type(batches).__name__}, expected a generator of batches"
        )
    for number, batch in enumerate(batches):
        images, labels, generated = check_batch(batch, task.dataset)
        path = folder / f"{task.part}-{number:07}.safetensors"
        write_batch(path, images, labels, generated)
        replaces = isinstance(batch, Replacement)
        if replaces:
            counts[:] = 0
        counts += np.bincount(labels, minlength=len(counts))
        sampled, ipc = int(generated.sum()), int(counts.min())
        send(BatchWritten(path.name, len(images), sampled, ipc, replaces))
        # A method that replaces its set ends by itself: it may still improve a complete one.
        is_complete = task.ipc is not None and ipc >= task.ipc and task.parts == 1
        if is_complete and not replaces:
            break


if __name__ == "__main__":
    child.serve(MethodJob, execute)
