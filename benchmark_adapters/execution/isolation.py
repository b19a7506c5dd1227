"""Isolate child processes with bubblewrap, on Linux.

An isolated process has no network, sees no process but its own, and can read files but change none
outside its own folder. ``/tmp`` and ``/run`` are empty, apart from the files that it needs.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.plugin_import import package_places

Mode = Literal["auto", "on", "off"]
MODES: tuple[Mode, ...] = get_args(Mode)

PROGRAM = "bwrap"
# Sockets of other programs lie in these folders. They would work although the files are read-only.
HIDDEN = ("/tmp", "/run")
GPUS = ("nvidia*", "dri", "kfd")
MAX_SECONDS = 10.0


def check(mode: Mode) -> None:
    """Raise `UserError` if processes must be isolated, and this machine can't."""
    if mode not in MODES:
        raise UserError(f"--isolate {mode}: expected one of {', '.join(MODES)}")
    if mode == "on" and (reason := why_not()):
        raise UserError(f"--isolate on: {reason}")


def prefix(mode: Mode, writable: Path, readable: Iterable[Path | str | None] = ()) -> list[str]:
    """Return the beginning of a command line that isolates the command after it.

    Args:
        mode: ``off``, or ``auto`` where isolation doesn't work: the beginning is empty.
        writable: the only folder that the command can change.
        readable: files and folders that it reads. Those outside `HIDDEN` need not be named.

    Raises:
        UserError: the mode is ``on``, and this machine can't isolate processes.
    """
    check(mode)
    if mode == "off" or why_not():
        return []
    return _command(writable, [*_installation(), *map(str, filter(None, readable))])


@functools.cache
def why_not() -> str:
    """Return why processes can't be isolated on this machine; empty: they can."""
    if sys.platform != "linux":
        return "processes can be isolated on Linux only"
    if not shutil.which(PROGRAM):
        return "bubblewrap is missing; install it, or use --isolate auto or off"
    # Python and the packages must be found in there too.
    program = [sys.executable, "-P", "-c", "import benchmark_adapters"]
    command = [*_command(Path(os.devnull), _installation()), *program]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=MAX_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here ({one_line(error)})"
    if tried.returncode:
        return f"bubblewrap does not work here ({one_line(tried.stderr.decode(errors='replace'))})"
    return ""


def _command(writable: Path, readable: Sequence[str]) -> list[str]:
    command = [PROGRAM, "--die-with-parent", "--unshare-all", "--cap-drop", "ALL"]
    command += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    for device in (path for name in GPUS for path in sorted(Path("/dev").glob(name))):
        command += ["--dev-bind", str(device), str(device)]
    for folder in filter(os.path.isdir, HIDDEN):
        command += ["--tmpfs", folder]
    for path in _hidden(readable):
        command += ["--ro-bind", path, path]
    if writable != Path(os.devnull):
        command += ["--bind", str(writable.absolute()), str(writable.absolute())]
    return [*command, "--"]


def _hidden(paths: Iterable[str]) -> list[str]:
    """Return which paths exist in folders that are hidden, outer folders first."""
    found = {os.path.abspath(path) for path in paths if os.path.exists(path)}
    return sorted(path for path in found if any(Path(path).is_relative_to(h) for h in HIDDEN))


def _installation() -> list[str]:
    """Return the folders of Python, of all packages, and of settings in the environment."""
    named = (os.environ.get(name) for name in ("DDBENCH_DATA", "HF_HOME", "HF_HUB_CACHE"))
    # An editable package need not be on the path.
    packages = map(str, package_places())
    paths = [sys.prefix, sys.base_prefix, *sys.path, *packages, *named]
    return [path for path in paths if path]
