"""Hooks that a plugin can implement.

Every hook returns a list of frozen dataclasses. Most commands call the hooks, each plugin's in a
process of its own, so they must be cheap: defer heavy imports.
"""

import pluggy

from benchmark_adapters.types import Dataset, Format, Method, Recipe, Student, Track

hookspec = pluggy.HookspecMarker("ddbench")


@hookspec
def ddbench_methods() -> list[Method]:  # type: ignore[empty-body]
    """Return methods that generate distilled sets."""


@hookspec
def ddbench_datasets() -> list[Dataset]:  # type: ignore[empty-body]
    """Return real datasets, which methods distil and students are tested on."""


@hookspec
def ddbench_tracks() -> list[Track]:  # type: ignore[empty-body]
    """Return tracks: challenges that fix datasets, time limit, IPC, recipe and repeats."""


@hookspec
def ddbench_recipes() -> list[Recipe]:  # type: ignore[empty-body]
    """Return recipes, which define how a student is trained before it is tested."""


@hookspec
def ddbench_students() -> list[Student]:  # type: ignore[empty-body]
    """Return students: networks that are trained on distilled sets."""


@hookspec
def ddbench_formats() -> list[Format]:  # type: ignore[empty-body]
    """Return file formats for distilled sets."""
