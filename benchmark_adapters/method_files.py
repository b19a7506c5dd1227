"""Methods from a Python file, which need no installed package."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from benchmark_adapters import console
from benchmark_adapters.plugin_import import check_part
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Method, Option, UserError, one_line

HOOK, FUNCTION, OPTIONS, DIVISIBLE = "ddbench_methods", "distill", "OPTIONS", "DIVISIBLE"


def find(plugins: Plugins, name: str) -> Method:
    """Return an installed method by its name, or a method from ``FILE.py`` or ``FILE.py:NAME``.

    A file has the hook `ddbench_methods`, or a function ``distill(task, budget)``; then its stem is
    the method's name. ``NAME`` is one of several methods of the hook, or another function, which is
    then the method's name. A module's ``OPTIONS`` and ``DIVISIBLE`` are those of its functions.

    Raises:
        UserError: there is no such method, the file can't be imported, or it has no method.
    """
    match = re.fullmatch(r"(?P<file>.+?\.py)(:(?P<name>\w[\w.-]*))?", name)
    if not match:
        return plugins.methods.require(name)
    file = Path(match["file"]).expanduser().absolute()
    if not file.is_file():
        raise UserError(f"no file {file}; name an installed method or a Python file")
    try:
        # What the file prints must stay out of results.
        with console.stdout_to_stderr(), _importable(file.parent):
            method = _choose(_import(file), file, match["name"])
    except UserError:
        raise
    # A file and its hook may raise anything.
    except (Exception, SystemExit) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{file.name} can't be used: {reason}") from None
    if method.name in plugins.methods:
        raise UserError(f"{file.name}: {method.name} is the name of an installed method; rename it")
    return replace(method, file=str(file))


def reference(method: Method) -> str:
    """Return the text for which `find` returns ``method``."""
    return f"{method.file}:{method.name}" if method.file else method.name


def keep_importable(method: Method) -> None:
    """Let the modules beside the file of a method be imported from now on, as the method may do."""
    folder = str(Path(method.file).parent)
    if method.file and folder not in sys.path:
        sys.path.append(folder)


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules in a folder be imported in the block, but no longer: it may hold anything."""
    before = list(sys.path)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


def _import(file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"ddbench_file_{file.stem}", file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    # Dataclasses and pickles look their module up.
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


def _choose(module: ModuleType, file: Path, name: str | None) -> Method:
    """Return the method called ``name``, or the only one."""
    if hook := getattr(module, HOOK, None):
        methods: Sequence[Method] = hook()
        for method in methods:
            check_part(method, "methods")
        found = [method for method in methods if name in (None, method.name)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(method.name for method in methods) or "none"
        raise UserError(f"{file.name} has these methods: {known}; choose one with {file.name}:NAME")
    wanted = name if name not in (None, file.stem) else FUNCTION
    function = getattr(module, wanted or FUNCTION, None)
    if not inspect.isfunction(function):
        raise UserError(
            f"{file.name} has no function {wanted}(task, budget); define it, or the hook {HOOK}"
        )
    options: Sequence[Option] = getattr(module, OPTIONS, ())
    text = inspect.getdoc(function) or inspect.getdoc(module) or ""
    summary = text.partition("\n")[0]
    divisible = bool(getattr(module, DIVISIBLE, False))
    method = Method(name or file.stem, function, tuple(options), summary, divisible)
    check_part(method, "methods")
    return method
