"""Keep the current folder, which may hold a stranger's files, out of what Python imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGES = ("benchmark_adapters", "ddbench", "gdd_plugin")


def restart_if_exposed() -> None:
    """Start this command again without the current folder, if Python looks for modules there.

    That is so with ``python -m`` without ``-P``, and with relative entries of PYTHONPATH, such as
    an empty one. What Python imported from the folder before can't be undone.
    """
    if not _is_command():
        return
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if os.path.isabs(entry)]
    # An empty variable has one entry, which counts for nothing.
    has_relative = entries != [""] and len(absolute) < len(entries)
    if has_relative or _begins_here():
        sys.stdout.flush()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(absolute)}
        os.execve(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]], environment)


def _begins_here() -> bool:
    """Return whether ``python -m`` put the current folder, unless it is ddbench's, on the path."""
    if sys.flags.safe_path or not sys.modules["__main__"].__spec__:
        return False
    return sys.path[0] == os.getcwd() != str(Path(__file__).parents[1])


def _is_command() -> bool:
    """Return whether this process runs a command of ddbench, and not a program that uses it."""
    main = sys.modules["__main__"]
    if main.__spec__:
        return main.__spec__.name.partition(".")[0] in PACKAGES
    return Path(getattr(main, "__file__", None) or "").name.startswith("ddbench")
