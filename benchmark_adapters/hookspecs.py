"""What a plugin can add.

Every hook returns a list of frozen dataclasses and must be cheap: import heavy things later.
"""

import pluggy

from benchmark_adapters.types import Dataset, Format, Method, Recipe, Student, Track

hookspec = pluggy.HookspecMarker("ddbench")


@hookspec
def ddbench_methods() -> list[Method]:  # type: ignore[empty-body]
    """Methods that make distilled sets."""


@hookspec
def ddbench_datasets() -> list[Dataset]:  # type: ignore[empty-body]
    """Real datasets that sets are distilled for and students are tested on."""


@hookspec
def ddbench_tracks() -> list[Track]:  # type: ignore[empty-body]
    """Challenges: datasets, time limit, images per class, recipe and repeats."""


@hookspec
def ddbench_recipes() -> list[Recipe]:  # type: ignore[empty-body]
    """Ways to train and score a student."""


@hookspec
def ddbench_students() -> list[Student]:  # type: ignore[empty-body]
    """Networks that are trained on distilled sets."""


@hookspec
def ddbench_formats() -> list[Format]:  # type: ignore[empty-body]
    """File formats of distilled sets."""
