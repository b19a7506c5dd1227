"""The child process that parses untrusted files and does nothing else.

It writes a native set into a separate folder. It neither trains students nor writes to the runs
folder. The parent's end is `benchmark_adapters.execution.sandbox.decode`.
"""

from __future__ import annotations

from pathlib import Path

from benchmark_adapters import own_data, plugins
from benchmark_adapters.execution import child
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import DecodeJob
from benchmark_adapters.formats import native
from benchmark_adapters.types import resolve


def decode(job: DecodeJob, send: Send) -> None:
    """Read the job's file and write its content as a native set."""
    installed = plugins.build()
    dataset = own_data.find_for_job(installed, job.dataset)
    reader = resolve(installed.formats.require(job.format).read)
    distilled = reader(Path(job.path), dataset)
    native.write({dataset.name: (dataset, distilled)}, Path(job.output))


if __name__ == "__main__":
    child.serve_limited(DecodeJob, decode)
