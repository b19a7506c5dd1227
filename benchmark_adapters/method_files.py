"""Methods from a Python file, which need no installed package."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from benchmark_adapters import console
from benchmark_adapters.plugins import Plugins, check_part
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
    match = re.fullmatch(r"(?P<file>.+\.py)(:(?P<name>\w[\w.-]*))?", name)
    if not match:
        return plugins.methods.require(name)
    file = Path(match["file"]).expanduser().absolute()
    module = _import(file)
    try:
        method = _choose(module, file, match["name"])
        check_part(method, "methods")
    except UserError:
        raise
    # The hook may raise anything, and return anything.
    except (Exception, SystemExit) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"{file.name} defines no method: {reason}") from None
    if method.name in plugins.methods:
        raise UserError(f"{file.name}: {method.name} is the name of an installed method; rename it")
    return replace(method, file=f"{file}:{match['name']}" if match["name"] else str(file))


def _import(file: Path) -> ModuleType:
    """Import a file. Modules beside it can be imported by it."""
    if not file.is_file():
        raise UserError(f"no file {file}; name an installed method or a Python file")
    specification = importlib.util.spec_from_file_location(f"ddbench_file_{file.stem}", file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(file.parent))
    try:
        with console.stdout_to_stderr():
            specification.loader.exec_module(module)
    # A file may raise anything.
    except (Exception, SystemExit) as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"could not import {file.name}: {reason}") from None
    finally:
        sys.path.remove(str(file.parent))
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
    function = getattr(module, name or FUNCTION, None)
    if not inspect.isfunction(function):
        raise UserError(
            f"{file.name} has no function {name or FUNCTION}(task, budget); "
            f"define it, or the hook {HOOK}"
        )
    options: Sequence[Option] = getattr(module, OPTIONS, ())
    text = inspect.getdoc(function) or inspect.getdoc(module) or ""
    summary = text.partition("\n")[0]
    divisible = bool(getattr(module, DIVISIBLE, False))
    return Method(name or file.stem, function, tuple(options), summary, divisible)
