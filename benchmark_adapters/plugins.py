"""Find the plugins of all installed distributions, and look their parts up by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

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


class Part(Protocol):
    """What every kind of part has."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...


P = TypeVar("P", bound=Part)


class Registry(Mapping[str, P], Generic[P]):
    """The parts of one kind by name, in the order of discovery."""

    def __init__(self, kind: str, parts: Mapping[str, P]) -> None:
        self.kind, self._parts = kind, parts

    def require(self, name: str) -> P:
        """Return the part called ``name``.

        Raises:
            UserError: there is none; the message names the nearest and all known names.
        """
        if name in self._parts:
            return self._parts[name]
        close = difflib.get_close_matches(name, self._parts, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(self._parts) or "none"
        raise UserError(f"unknown {self.kind.removesuffix('s')} {name!r}; {hint}known: {known}")

    def __getitem__(self, name: str) -> P:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@dataclass(frozen=True)
class PartDescription:
    """A part as plain data, without the callables that it brings."""

    kind: str
    name: str
    summary: str
    plugin: str


@dataclass(frozen=True)
class Plugins:
    """Everything that the installed plugins bring.

    Attributes:
        descriptions: of all parts, as data.
        skipped: a line for each plugin that could not be used.
    """

    methods: Registry[Method]
    tracks: Registry[Track]
    datasets: Registry[Dataset]
    students: Registry[Student]
    recipes: Registry[Recipe]
    formats: Registry[Format]
    descriptions: tuple[PartDescription, ...]
    skipped: tuple[str, ...]


def discover() -> tuple[pluggy.PluginManager, list[str]]:
    """Import every plugin that can be imported, our own first.

    Returns:
        The plugin manager, and a line for each plugin that can't be used.
    """
    manager = pluggy.PluginManager("ddbench")
    manager.add_hookspecs(hookspecs)
    skipped = []
    for entry in sorted(entry_points(group=GROUP), key=_order):
        source = f"{_distribution(entry)}:{entry.name}"
        try:
            plugin = entry.load()
            manager.register(plugin, name=source)
            if not manager.get_hookcallers(plugin):
                skipped.append(
                    f"plugin {source} has no hook; "
                    "mark its functions with benchmark_adapters.hookimpl"
                )
        except pluggy.PluginValidationError as error:
            raise UserError(f"plugin {source}: {_reason(error)}") from None
        except (Exception, SystemExit) as error:  # a plugin's module may fail in any way
            skipped.append(f"plugin {source} skipped, its import failed: {_reason(error)}")
    return manager, skipped


def build(manager: pluggy.PluginManager | None = None) -> Plugins:
    """Collect the parts of the installed plugins, or of those of ``manager``.

    Raises:
        UserError: two parts of a kind have one name, or a hook is misspelt or takes arguments.
    """
    manager, skipped = (manager, []) if manager else discover()
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = ", ".join(f"ddbench_{kind}" for kind in KINDS)
        source = manager.get_name(error.plugin)
        raise UserError(f"plugin {source}: {_reason(error)}; hooks: {hooks}") from None
    collection = _Collection(skipped=skipped)
    for kind in KINDS:
        for implementation in getattr(manager.hook, f"ddbench_{kind}").get_hookimpls():
            collection.add(kind, implementation.plugin_name, implementation.function)
    registries = {kind: Registry(kind, parts) for kind, parts in collection.parts.items()}
    return Plugins(
        **registries,
        descriptions=tuple(collection.descriptions.values()),
        skipped=tuple(collection.skipped),
    )


@dataclass
class _Collection:
    """Parts by kind and name while they are collected."""

    skipped: list[str]
    parts: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    descriptions: dict[tuple[str, str], PartDescription] = field(default_factory=dict)

    def add(self, kind: str, source: str, hook: Callable[[], list[Any]]) -> None:
        """Add the parts that a hook returns; skip them all if one is wrong."""
        try:
            parts = list(hook())
            for part in parts:
                _check(part, kind)
        except (Exception, SystemExit) as error:  # a plugin's hook may fail in any way
            self.skipped.append(
                f"plugin {source} skipped, its ddbench_{kind} failed: {_reason(error)}"
            )
            return
        for part in parts:
            if part.name in self.parts[kind]:
                other = self.descriptions[kind, part.name].plugin
                raise UserError(
                    f"two plugins have a {kind[:-1]} {part.name!r}: {other} and {source}; "
                    "uninstall or rename one"
                )
            self.parts[kind][part.name] = part
            description = PartDescription(kind, part.name, part.summary, source)
            self.descriptions[kind, part.name] = description


def _check(part: Any, kind: str) -> None:
    """Raise unless ``part`` is of its kind, and its name can name a folder."""
    if not isinstance(part, KINDS[kind]):
        raise TypeError(f"it returned {type(part).__name__}, expected {KINDS[kind].__name__}")
    # Recipes carry their version, NAME/1, and name no folder.
    if kind != "recipes" and not re.fullmatch(r"\w[\w.-]*", part.name):
        raise ValueError(
            f"the name {part.name!r} has other characters than letters, digits, '.', '_' and '-'"
        )


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    """Sort our own distribution first, then by name."""
    return _distribution(entry) != OURS, _distribution(entry), entry.name


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _reason(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")
