"""Rules of the layout: short functions and files, and import paths that others rely on.

The allowed imports between packages are defined in .importlinter.
"""

import ast
import pkgutil

import pytest
from project import ROOT

MAX_FUNCTION_LINES, MAX_FILE_LINES = 60, 350
FOLDERS = ("benchmark_adapters", "ddbench", "gdd_plugin", "leaderboard", "tests", "experiments")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PROMISED = """
    benchmark_adapters:hookimpl
    benchmark_adapters.types:Dataset benchmark_adapters.types:Track benchmark_adapters.types:Task
    benchmark_adapters.types:Budget benchmark_adapters.types:DistilledSet
    benchmark_adapters.types:Method benchmark_adapters.types:Recipe
    benchmark_adapters.types:Option benchmark_adapters.types:Student
    benchmark_adapters.types:Format benchmark_adapters.types:UserError
    benchmark_adapters.students:build
    benchmark_adapters.dsa:augment benchmark_adapters.dsa:FAMILIES
    benchmark_adapters.training:train benchmark_adapters.training:accuracy
    benchmark_adapters.builtin benchmark_adapters.cli:main
    gdd_plugin.plugin gdd_plugin.training.cli:main
    gdd_plugin.sampler:TurboSampler gdd_plugin.pda:augment
    leaderboard.record:Record
"""


@pytest.mark.parametrize("path", PROMISED.split())
def test_promised_paths_are_importable(path):
    assert pkgutil.resolve_name(path)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_are_short(file):
    text = file.read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"
