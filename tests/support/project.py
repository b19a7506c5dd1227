"""Paths of the project, and helpers shared by tests in several folders."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark_adapters import plugins

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
COMMAND = Path(sys.executable).parent / "ddbench"


def pip_install(source: Path, target: Path) -> None:
    """Install a distribution from a folder, without network access."""
    options = ["-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def installed(*folders: Path) -> Iterator[None]:
    """Make the distributions in ``folders`` importable in the block and in child processes."""
    inherited = os.environ.get("PYTHONPATH")
    with pytest.MonkeyPatch.context() as patch:
        paths = [*map(str, folders), *([inherited] if inherited else [])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        for folder in folders:
            patch.syspath_prepend(folder)
        known = plugins.THIRD_PARTY.get()
        try:
            yield
        finally:
            plugins.THIRD_PARTY.set(known)
            for name, module in list(sys.modules.items()):
                file = Path(getattr(module, "__file__", None) or "/")
                if any(file.is_relative_to(folder) for folder in folders):
                    del sys.modules[name]


def wait_for(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait until ``condition`` holds, and fail after ``seconds``, which only a hang can exceed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
