"""Import a plugin and call its hooks.

A plugin's module may do anything while it is imported, so other modules import third-party plugins
only in a process of their own, or once one of their components is used.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

import pluggy

from benchmark_adapters import hookspecs
from benchmark_adapters.types import (
    Dataset,
    Format,
    Method,
    Option,
    Recipe,
    Student,
    Track,
    one_line,
)

GROUP = OURS = "ddbench"
PACKAGES = ("benchmark_adapters", "ddbench", "gdd_plugin", "leaderboard")
KINDS: dict[str, type[Any]] = {
    "methods": Method,
    "tracks": Track,
    "datasets": Dataset,
    "students": Student,
    "recipes": Recipe,
    "formats": Format,
}


def package_places() -> Iterator[Path]:
    """Yield the folders or files of our packages and of plugins, which are not imported for it."""
    plugins = {entry.module.partition(".")[0] for entry in entry_points(group=GROUP)}
    for name in {*PACKAGES, *plugins}:
        with contextlib.suppress(ImportError, ValueError):
            if specification := importlib.util.find_spec(name):
                places = specification.submodule_search_locations or [specification.origin or ""]
                yield from map(Path, filter(None, places))


class Part(Protocol):
    """A component of any kind: a method, track, dataset, student, recipe or format."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...


@dataclass
class Contents:
    """What a plugin has.

    Attributes:
        parts: (kind, component), in the order of the hooks.
        problems: one line for each thing that is wrong; what it concerns is not among the parts.
    """

    parts: list[tuple[str, Part]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def installed(group: str = GROUP) -> list[EntryPoint]:
    """Return the entry points of all plugins, ddbench's own first, and the others by name."""
    return sorted(entry_points(group=group), key=lambda entry: (not is_own(entry), source(entry)))


def is_own(entry: EntryPoint) -> bool:
    """Return whether an entry point is one of ddbench itself."""
    return _distribution(entry) == OURS


def source(entry: EntryPoint) -> str:
    """Return the name of a plugin, ``DISTRIBUTION:ENTRY``."""
    return f"{_distribution(entry)}:{entry.name}"


def read(entry: EntryPoint, name: str) -> Contents:
    """Import a plugin and collect its components; whatever is wrong with it is a problem.

    Args:
        entry: the entry point of the plugin.
        name: the plugin in messages.
    """
    contents = Contents()
    manager = pluggy.PluginManager("ddbench")
    manager.add_hookspecs(hookspecs)
    try:
        plugin = entry.load()
        manager.register(plugin, name=name)
    except pluggy.PluginValidationError as error:
        contents.problems.append(
            f"plugin {name} skipped because a hook is wrong: {reason_of(error)}"
        )
        return contents
    # A plugin's module may raise anything.
    except (Exception, SystemExit) as error:
        contents.problems.append(
            f"plugin {name} skipped because its import failed: {reason_of(error)}"
        )
        return contents
    if not manager.get_hookcallers(plugin):
        contents.problems.append(
            f"plugin {name} implements no hooks; "
            "mark its hook functions with benchmark_adapters.hookimpl"
        )
    contents.problems += _unknown_hooks(manager, name)
    for kind in KINDS:
        for implementation in getattr(manager.hook, f"ddbench_{kind}").get_hookimpls():
            _call(implementation.function, kind, name, contents)
    return contents


def _unknown_hooks(manager: pluggy.PluginManager, plugin: str) -> Iterator[str]:
    """Yield one message for each hook of a plugin that ddbench doesn't know."""
    known = [f"ddbench_{kind}" for kind in KINDS]
    for name, hook in vars(manager.hook).items():
        if isinstance(hook, pluggy.HookCaller) and not hook.has_spec():
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            yield (
                f"plugin {plugin}: unknown hook {name} skipped; {hint}"
                f"known hooks: {', '.join(known)}"
            )


def _call(hook: Any, kind: str, plugin: str, contents: Contents) -> None:
    """Add the components that a hook returns. If one of them is invalid, skip them all."""
    try:
        parts = list(hook())
        for part in parts:
            check_part(part, kind)
    # A plugin's hook may raise anything.
    except (Exception, SystemExit) as error:
        contents.problems.append(
            f"plugin {plugin}: ddbench_{kind} skipped because it failed: {reason_of(error)}"
        )
    else:
        contents.parts += [(kind, part) for part in parts]


def check_part(part: Any, kind: str) -> None:
    """Check that ``part`` has the type of its kind, and that its name can name a folder.

    Raises:
        TypeError, ValueError: it doesn't.
    """
    if not isinstance(part, KINDS[kind]):
        raise TypeError(f"it returned {type(part).__name__}, expected {KINDS[kind].__name__}")
    if isinstance(part, Method) and not all(isinstance(item, Option) for item in part.options):
        raise TypeError(f"options of method {part.name} must be of type Option")
    # The name of a recipe contains its version, as in NAME/1, and is never used for a folder.
    if kind != "recipes" and not re.fullmatch(r"\w[\w.-]*", part.name):
        raise ValueError(
            f"invalid name {part.name!r}: use letters, digits, '.', '_' and '-', "
            "and don't start with '.' or '-'"
        )


def reason_of(error: BaseException) -> str:
    """Return an exception's type and message on one line."""
    return one_line(f"{type(error).__name__}: {error}")


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"
