"""Call commands in this process, or run the installed ones."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from project import COMMAND

Ddbench = Callable[..., subprocess.CompletedProcess[str]]


def call(
    main: Callable[[], object], words: list[str], capfd: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    """Call a command's function in this process, and return its output and exit code."""
    with pytest.MonkeyPatch.context() as patch, _signal_handlers_kept():
        patch.setattr(sys, "argv", words)
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main()
    return subprocess.CompletedProcess(words, int(exit_info.value.code or 0), *capfd.readouterr())


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run_installed(
    arguments: Sequence[object], cwd: Path, path: Sequence[Path], variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the installed ``ddbench`` in a child process, with the plugins in ``path``."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **variables},
        capture_output=True,
        text=True,
        timeout=600,
    )
