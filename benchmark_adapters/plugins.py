"""Look up the components of installed plugins by name.

ddbench's own plugins are imported at once. Third-party ones are known by descriptions, and imported
when one of their components is used. `benchmark_adapters.execution.discovery` finds the
descriptions, and child processes get those of their parent.
"""

from __future__ import annotations

import difflib
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any, Generic, TypeVar

from benchmark_adapters import console, plugin_import
from benchmark_adapters.plugin_import import KINDS as KINDS
from benchmark_adapters.plugin_import import Part
from benchmark_adapters.types import (
    Dataset,
    Format,
    Method,
    Notice,
    Recipe,
    Student,
    Track,
    UserError,
)

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class PartDescription:
    """A component as plain data, without its callables.

    Attributes:
        kind: one of `KINDS`.
        plugin: the name of its plugin, ``DISTRIBUTION:ENTRY``.
        module: the module of a third-party plugin; empty: the plugin is ddbench's own.
        track: the component itself, if it is a track, which is plain data.
    """

    kind: str
    name: str
    summary: str
    plugin: str
    module: str = ""
    track: Track | None = None

    def load(self) -> Any:
        """Import the plugin and return the component.

        Raises:
            UserError: the plugin can't be imported, or has no such component any more.
        """
        if self.track:
            return self.track
        entry = EntryPoint(self.plugin, self.module, plugin_import.GROUP)
        # What the plugin prints must stay out of results.
        with console.stdout_to_stderr():
            contents = plugin_import.read(entry, self.plugin)
        for kind, part in contents.parts:
            if (kind, part.name) == (self.kind, self.name):
                return part
        why = "; ".join(contents.problems) or f"plugin {self.plugin} does not have it any more"
        raise UserError(f"{self.kind.removesuffix('s')} {self.name} can't be used: {why}")


# What this process knows about the components of third-party plugins.
THIRD_PARTY: ContextVar[Iterable[PartDescription]] = ContextVar("third_party", default=())


class Registry(Mapping[str, P], Generic[P]):
    """The components of one kind by name, ddbench's own first."""

    def __init__(
        self, kind: str, own: Mapping[str, P], others: Mapping[str, PartDescription] | None = None
    ) -> None:
        self.kind, self._own, self._others = kind, own, others or {}
        self._loaded: dict[str, P] = {}

    def require(self, name: str) -> P:
        """Return the component called ``name``.

        Raises:
            UserError: there is none; the message suggests the closest name and lists all names.
                Or its plugin can't be imported.
        """
        if name in self:
            return self[name]
        close = difflib.get_close_matches(name, self, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        known = ", ".join(self) or "none"
        raise UserError(
            f"unknown {self.kind.removesuffix('s')} {name!r}; {hint}known {self.kind}: {known}"
        )

    def groups(self) -> Iterator[list[P]]:
        """Yield ddbench's own components, then those of third-party plugins.

        The latter are imported only when they are asked for. Warn about those that can't be.
        """
        yield list(self._own.values())
        yield list(self._usable())

    def usable(self) -> Iterator[P]:
        """Yield all components, but warn about those whose plugin can't be imported."""
        return itertools.chain.from_iterable(self.groups())

    def _usable(self) -> Iterator[P]:
        for name in self._others:
            try:
                yield self[name]
            except UserError as error:
                warnings.warn(str(error), Notice, stacklevel=2)

    def __getitem__(self, name: str) -> P:
        if name in self._own:
            return self._own[name]
        if name not in self._loaded:
            self._loaded[name] = self._others[name].load()
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self._own, self._others)

    def __len__(self) -> int:
        return len(self._own) + len(self._others)


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


def build(problems: Iterable[str] = ()) -> Plugins:
    """Collect the components of ddbench's own plugins and those in `THIRD_PARTY`.

    What is wrong with a plugin is reported, and skipped: it must not stop the others.

    Args:
        problems: what was wrong with third-party plugins, one message each.
    """
    own: list[tuple[PartDescription, Part]] = []
    skipped: list[str] = []
    for entry in filter(plugin_import.is_own, plugin_import.installed()):
        name = plugin_import.source(entry)
        contents = plugin_import.read(entry, name)
        skipped += contents.problems
        for kind, part in contents.parts:
            own.append((PartDescription(kind, part.name, part.summary, name), part))
    described, duplicates = _distinct([one for one, _ in own] + list(THIRD_PARTY.get()))
    registries: dict[str, Any] = {
        kind: Registry(
            kind,
            {one.name: part for one, part in own if one.kind == kind},
            {one.name: one for one in described if one.kind == kind and one.module},
        )
        for kind in KINDS
    }
    return Plugins(
        **registries, descriptions=tuple(described), skipped=(*skipped, *problems, *duplicates)
    )


def _distinct(parts: Iterable[PartDescription]) -> tuple[list[PartDescription], list[str]]:
    """Return the first component of each name, and a message for each other one."""
    first: dict[tuple[str, str], PartDescription] = {}
    messages = []
    for part in parts:
        other = first.setdefault((part.kind, part.name), part)
        if other is not part:
            messages.append(
                f"plugin {part.plugin}: {part.kind[:-1]} {part.name!r} skipped, because "
                f"{other.plugin} has one of that name; rename it or uninstall one of them"
            )
    return list(first.values()), messages
