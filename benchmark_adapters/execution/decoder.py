"""The child process that parses untrusted files and does nothing else.

It writes a native set into a separate folder. It neither trains students nor writes to the runs
folder. The parent's end is `benchmark_adapters.execution.sandbox.decode`.
"""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from benchmark_adapters import own_data, plugins
from benchmark_adapters.execution import child, decode_limits
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import DecodeJob, FormatFound
from benchmark_adapters.formats import archives, detection, native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, DistilledSet, UserError, resolve

# Folder within the output for the content of an archive.
UNPACKED = "unpacked"


def decode(job: DecodeJob, send: Send) -> None:
    """Read the job's set and write its content as a native set.

    Raises:
        UserError: it can't be read.
    """
    installed = plugins.build()
    dataset = own_data.find_for_job(installed, job.dataset)
    path, unpacked = Path(job.path), Path(job.output) / UNPACKED
    image_bytes = dataset.channels * dataset.image_size**2
    child.limit_growth(decode_limits.memory(path, image_bytes))
    if not path.is_file() or path.suffix.lower() != archives.SUFFIX:
        distilled = _read(path, dataset, job, installed, send)
        native.write({dataset.name: (dataset, distilled)}, Path(job.output))
        return
    try:
        archives.unpack(path, unpacked)
        child.limit_growth(decode_limits.memory(unpacked, image_bytes))
        # Native images stay in their file, so they are written while it is there.
        distilled = _read(unpacked, dataset, job, installed, send)
        native.write({dataset.name: (dataset, distilled)}, Path(job.output))
    except UserError as error:
        raise UserError(str(error).replace(str(unpacked), path.name)) from None
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _read(
    path: Path, dataset: Dataset, job: DecodeJob, installed: Plugins, send: Send
) -> DistilledSet:
    """Read a set in the job's format, or in that which the names of its files tell."""
    if job.format:
        file_format = installed.formats.require(job.format)
    else:
        # A team may have a set of another dataset alone. Then the reader says what is missing.
        others = installed.datasets.usable()
        file_format = detection.detect(path, [dataset], installed.formats, others)
    resized = file_format.read_resized if job.resizes else None
    send(FormatFound(file_format.name, resized is not None))
    at = detection.content_of(path, dataset, file_format)
    # Files must not make libraries write what they like to the user's terminal.
    with warnings.catch_warnings(action="ignore"):
        return resolve(resized or file_format.read)(at, dataset)


if __name__ == "__main__":
    child.serve_limited(DecodeJob, decode)
