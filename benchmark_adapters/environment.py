"""Describe the environment of a run: hardware, library versions and commit.

The description contains no host names, user names or paths.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("ddbench", "torch", "torchvision", "diffusers", "transformers", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that affect results."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, str | int | float]:
    """Return the system, the processor, the number of usable cores and the memory in GiB.

    The GPU is not included: the process that uses it reports its name.
    """
    import psutil

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> tuple[str | None, bool | None]:
    """Return the commit of ddbench's checkout and whether it has uncommitted changes.

    Both are None if ddbench does not run from its own checkout.
    """
    package = Path(__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    # If the package is installed inside another project's checkout, git finds that project.
    if top is None or Path(top).resolve() != package.parent.resolve():
        return None, None
    return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
