"""The host: finds the plug-ins of all installed distributions and looks their parts up by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from benchmark_adapters import hookspecs
from benchmark_adapters.types import (
    Dataset,
    Format,
    Method,
    Recipe,
    Student,
    Track,
    UserError,
    one_line,
)

GROUP = OURS = "ddbench"
KINDS: dict[str, type[Any]] = {
    "methods": Method,
    "tracks": Track,
    "datasets": Dataset,
    "students": Student,
    "recipes": Recipe,
    "formats": Format,
}


@dataclass(frozen=True)
class Host:
    """Everything that the installed plug-ins bring, by kind and name, in order of discovery.

    ``skipped`` says which plug-ins could not be imported, and why; ``sources`` names the distribution of each part.
    """

    methods: Mapping[str, Method]
    tracks: Mapping[str, Track]
    datasets: Mapping[str, Dataset]
    students: Mapping[str, Student]
    recipes: Mapping[str, Recipe]
    formats: Mapping[str, Format]
    sources: Mapping[tuple[str, str], str]
    skipped: tuple[str, ...]

    def get(self, kind: str, name: str) -> Any:
        """The part called ``name``, for example ``get("tracks", "quickstart")``.

        Raises:
            UserError: there is none; the message names the nearest and all known names.
        """
        known: Mapping[str, Any] = getattr(self, kind)
        if name in known:
            return known[name]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"unknown {kind.removesuffix('s')} {name!r}; {hint}known: {', '.join(known) or 'none'}"
        )


def discover() -> tuple[pluggy.PluginManager, list[str]]:
    """A manager with every plug-in that can be imported, our own first; one line for each that can't."""
    manager = pluggy.PluginManager("ddbench")
    manager.add_hookspecs(hookspecs)
    skipped = []
    for entry in sorted(
        entry_points(group=GROUP),
        key=lambda entry: (_distribution(entry) != OURS, _distribution(entry), entry.name),
    ):
        source = f"{_distribution(entry)}:{entry.name}"
        try:
            plugin = entry.load()
            manager.register(plugin, name=source)
            if not manager.get_hookcallers(plugin):
                skipped.append(
                    f"plug-in {source} has no hook; mark its functions with benchmark_adapters.hookimpl"
                )
        except pluggy.PluginValidationError as error:
            raise UserError(f"plug-in {source}: {_reason(error)}") from None
        except (Exception, SystemExit) as error:  # a stranger's module may fail in any way
            skipped.append(f"plug-in {source} skipped, its import failed: {_reason(error)}")
    return manager, skipped


def build(manager: pluggy.PluginManager | None = None) -> Host:
    """A new host from the installed plug-ins, or from those of ``manager``.

    Raises:
        UserError: two parts of a kind have one name, or a hook is misspelt or takes arguments.
    """
    if manager is None:
        manager, skipped = discover()
    else:
        skipped = []
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(f"ddbench_{kind}" for kind in KINDS)
        raise UserError(
            f"plug-in {manager.get_name(error.plugin)}: {_reason(error)}; hooks: {known}"
        ) from None
    parts: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    sources: dict[tuple[str, str], str] = {}
    for kind in KINDS:
        for implementation in getattr(manager.hook, f"ddbench_{kind}").get_hookimpls():
            source = implementation.plugin_name
            try:
                found = list(implementation.function())
                _check(found, kind)
                names = [part.name for part in found]
            except (Exception, SystemExit) as error:  # a stranger's hook may fail in any way
                skipped.append(
                    f"plug-in {source} skipped, its ddbench_{kind} failed: {_reason(error)}"
                )
                continue
            for name, part in zip(names, found, strict=True):
                if name in parts[kind]:
                    other = sources[kind, name]
                    raise UserError(
                        f"two plug-ins have a {kind[:-1]} {name!r}: {other} and {source}; uninstall or rename one"
                    )
                parts[kind][name], sources[kind, name] = part, source
    return Host(**parts, sources=sources, skipped=tuple(skipped))


def _check(parts: list[Any], kind: str) -> None:
    """Raises unless the parts are of their type, and their names (recipes' apart) can name folders."""
    for part in parts:
        if not isinstance(part, KINDS[kind]):
            raise TypeError(f"it returned {type(part).__name__}, expected {KINDS[kind].__name__}")
        if kind != "recipes" and not re.fullmatch(r"\w[\w.-]*", part.name):
            raise ValueError(
                f"the name {part.name!r} has other characters than letters, digits, '.', '_' and '-'"
            )


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _reason(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")
