"""Keep the current folder, which may hold a stranger's files, out of what Python imports.

This module imports only what Python itself has imported before.
"""

from __future__ import annotations

import os
import sys

COMMANDS = ("ddbench", "ddbench-turbo")
PACKAGES = ("benchmark_adapters", "ddbench", "gdd_plugin")


def restart_if_exposed() -> None:
    """Start this command again with ``-P``, if Python may look for modules in the current folder.

    That is so with ``python -m``, and with relative entries of PYTHONPATH, such as an empty one. It
    is also so in processes that Python's own modules start, unless this one has ``-P``. Programs
    that use ddbench are left alone.
    """
    if not _is_command():
        return
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if os.path.isabs(entry)]
    # An empty variable counts for nothing.
    has_relative = entries != [""] and len(absolute) < len(entries)
    if has_relative or _begins_here() or _is_script():
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(absolute)}
        os.execve(sys.executable, [sys.executable, "-P", *sys.orig_argv[1:]], environment)


def _begins_here() -> bool:
    """Return whether the path begins with the current folder, unless that is ddbench's own."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return not sys.flags.safe_path and os.path.isdir(".") and sys.path[0] == os.getcwd() != own


def _is_script() -> bool:
    """Return whether this process runs an installed script without ``-P``."""
    return not sys.flags.safe_path and os.path.basename(sys.argv[0]) in COMMANDS


def _is_command() -> bool:
    """Return whether this process runs a command of ddbench, or one of its child processes."""
    main = sys.modules["__main__"]
    if main.__spec__:
        return _is_own(main.__spec__.name)
    if sys.argv[0] != "-m":
        return os.path.basename(sys.argv[0]) in COMMANDS
    # Python is about to run a module, and imports its package first.
    begin = sys.orig_argv.index("-m") if "-m" in sys.orig_argv else -1
    return begin >= 0 and _is_own(sys.orig_argv[begin + 1])


def _is_own(module: str) -> bool:
    return module.partition(".")[0] in PACKAGES
