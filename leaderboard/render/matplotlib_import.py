"""Import matplotlib, which reads its settings while it is imported."""

import contextlib
import importlib


def import_matplotlib() -> None:
    """Import matplotlib, but not the matplotlibrc of the current folder, which may be a stranger's.

    Such a file can make plots run other programs. Call this before any other import of matplotlib.
    """
    with contextlib.chdir("/"):
        importlib.import_module("matplotlib")
