"""Modules that importing the leaderboard loads."""

import os
import subprocess
import sys


def test_leaderboard_imports_neither_torch_nor_the_other_packages():
    code = """
import sys
import leaderboard.record
from leaderboard import stats
from leaderboard.analysis import comparison, ddranking
from leaderboard.records import store
from leaderboard.render import comparison_tables, pages, report, tables
started = set(sys.modules)
stats.ranks([[0.1, 0.2], [0.3, 0.4]]), stats.summary([0.1, 0.2])
print(sorted(started & {"scipy", "numpy", "matplotlib", "jinja2", "tabulate", "PIL"}))
print(sorted(set(sys.modules) & {"torch", "benchmark_adapters", "gdd_plugin"}))
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["[]", "[]"]
