"""Discover installed plugins and look up their components by name."""

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
    Option,
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
    """A component of any kind: a method, track, dataset, student, recipe or format."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...


P = TypeVar("P", bound=Part)


class Registry(Mapping[str, P], Generic[P]):
    """The components of one kind by name, in order of discovery."""

    def __init__(self, kind: str, parts: Mapping[str, P]) -> None:
        self.kind, self._parts = kind, parts

    def require(self, name: str) -> P:
        """Return the component called ``name``.

        Raises:
            UserError: there is none; the message suggests the closest name and lists all names.
        """
        if name in self._parts:
            return self._parts[name]
        close = difflib.get_close_matches(name, self._parts, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(self._parts) or "none"
        raise UserError(
            f"unknown {self.kind.removesuffix('s')} {name!r}; {hint}known {self.kind}: {known}"
        )

    def __getitem__(self, name: str) -> P:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@dataclass(frozen=True)
class PartDescription:
    """A component as plain data, without its callables."""

    kind: str
    name: str
    summary: str
    plugin: str


@dataclass(frozen=True)
class Plugins:
    """All components of the installed plugins.

    Attributes:
        descriptions: all components as plain data.
        skipped: one message for each plugin that could not be used.
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
    """Import all plugins that can be imported, ddbench's own first.

    Returns:
        The plugin manager, and one message for each plugin that can't be used.
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
                    f"plugin {source} implements no hooks; "
                    "mark its hook functions with benchmark_adapters.hookimpl"
                )
        except pluggy.PluginValidationError as error:
            manager.unregister(name=source)
            skipped.append(f"plugin {source} skipped because a hook is wrong: {_reason(error)}")
        # A plugin's module may raise anything.
        except (Exception, SystemExit) as error:
            skipped.append(f"plugin {source} skipped because its import failed: {_reason(error)}")
    return manager, skipped


def _unknown_hooks(manager: pluggy.PluginManager) -> list[str]:
    """Return one message for each hook of a plugin that ddbench doesn't know."""
    known = [f"ddbench_{kind}" for kind in KINDS]
    messages = []
    for name, hook in vars(manager.hook).items():
        if isinstance(hook, pluggy.HookCaller) and not hook.has_spec():
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            messages += [
                f"plugin {implementation.plugin_name}: unknown hook {name} skipped; {hint}"
                f"known hooks: {', '.join(known)}"
                for implementation in hook.get_hookimpls()
            ]
    return messages


def build(manager: pluggy.PluginManager | None = None) -> Plugins:
    """Collect the components of the installed plugins, or of the plugins of ``manager``.

    What is wrong with a plugin is reported, and skipped: it must not stop the others.
    """
    manager, skipped = (manager, []) if manager else discover()
    collection = _Collection(skipped=skipped + _unknown_hooks(manager))
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
    """Components by kind and name, while they are being collected."""

    skipped: list[str]
    parts: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    descriptions: dict[tuple[str, str], PartDescription] = field(default_factory=dict)

    def add(self, kind: str, source: str, hook: Callable[[], list[Any]]) -> None:
        """Add the components that a hook returns. If one of them is invalid, skip them all."""
        try:
            parts = list(hook())
            for part in parts:
                check_part(part, kind)
        # A plugin's hook may raise anything.
        except (Exception, SystemExit) as error:
            self.skipped.append(
                f"plugin {source}: ddbench_{kind} skipped because it failed: {_reason(error)}"
            )
            return
        for part in parts:
            if part.name in self.parts[kind]:
                other = self.descriptions[kind, part.name].plugin
                self.skipped.append(
                    f"plugin {source}: {kind[:-1]} {part.name!r} skipped, because {other} has one "
                    "of that name; rename it or uninstall one of them"
                )
                continue
            self.parts[kind][part.name] = part
            description = PartDescription(kind, part.name, part.summary, source)
            self.descriptions[kind, part.name] = description


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


def _order(entry: EntryPoint) -> tuple[bool, str, str]:
    """Return a sort key that puts ddbench's own plugins first and sorts the others by name."""
    return _distribution(entry) != OURS, _distribution(entry), entry.name


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "unknown"


def _reason(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}")
