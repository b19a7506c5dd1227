"""The layout: which package may import which."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [  # of benchmark_adapters; a room imports only from floors before its own
    {"budget", "dsa", "provenance", "processes", "results", "winograd"},
    {"types"},
    {
        "console",
        "custody",
        "official",
        "progress",
        "students",
        "hookspecs",
        "datasets",
        "recipes",
        "checks",
        "grid",
        "devices",
    },
    {"tracks", "fast", "host", "assembly"},
    {"training", "plan", "supervisor", "inspection"},
    {"scoring", "features", "formats"},
    {"baselines", "class_order"},
    {"builtin"},
    {"worker"},
    {"harness"},
    {"merging", "cost", "judge", "conformance"},
    {"submissions"},
    {"repeating"},
    {"cli"},
]
TRAINING = [  # floors of gdd_plugin.training
    {"losses", "plot", "data", "denoiser"},
    {"journal", "evaluate"},
    {"features", "autoencoder", "teacher", "manifest"},
    {"student"},
    {"train", "adapt"},
    {"card"},
    {"cli"},
]
SAMPLING = {
    "plugin",
    "method",
    "prompts",
    "models",
    "sampler",
    "decoders",
    "batching",
    "pda",
    "architecture",
}


def imports(files):
    """Dotted names of the project's modules that ``files`` import, at their top or inside of functions."""
    found = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        name
        for name in found
        if name.split(".")[0] in ("benchmark_adapters", "gdd_plugin", "leaderboard")
    }


def rooms(package):
    """The modules of a package, and the folders of rooms in it, by name: their files."""
    found = {file.stem: [file] for file in (ROOT / package).glob("*.py") if file.stem != "__init__"}
    return found | {
        file.parent.name: sorted(file.parent.glob("*.py"))
        for file in (ROOT / package).glob("*/__init__.py")
    }


def test_leaderboard_imports_nothing_of_the_project():
    for file in rooms("leaderboard").values():
        assert all(name.startswith("leaderboard.") for name in imports(file)), file


def test_the_host_never_imports_the_method():
    for file in rooms("benchmark_adapters").values():
        assert not any(name.startswith("gdd_plugin") for name in imports(file)), file


def test_sampling_uses_types_and_hookimpl_alone():
    allowed = (
        "benchmark_adapters.hookimpl",
        "benchmark_adapters.types.",
        "benchmark_adapters.budget.",
        "gdd_plugin.",
    )
    for name in SAMPLING:
        assert all(used.startswith(allowed) for used in imports(rooms("gdd_plugin")[name])), name


def test_sampling_never_imports_training():
    for name in SAMPLING:
        assert not any(
            used.startswith("gdd_plugin.training") for used in imports(rooms("gdd_plugin")[name])
        ), name


def test_every_room_has_its_floor():
    assert set().union(*FLOORS) == set(rooms("benchmark_adapters"))
    assert set().union(*TRAINING) == set(rooms("gdd_plugin/training"))


@pytest.mark.parametrize(
    ("package", "floors", "name"),
    [
        (package, floors, name)
        for package, floors in (("benchmark_adapters", FLOORS), ("gdd_plugin/training", TRAINING))
        for name in sorted(rooms(package))
    ],
)
def test_a_room_imports_only_from_floors_below(package, floors, name):
    below = set().union(
        *floors[: next(number for number, floor in enumerate(floors) if name in floor)]
    )
    prefix = package.replace("/", ".") + "."
    used = {
        one.removeprefix(prefix).split(".")[0]
        for one in imports(rooms(package)[name])
        if one.startswith(prefix)
    }
    assert used & set(rooms(package)) <= below | {name}
