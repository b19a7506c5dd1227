"""A training at a thousandth of its length, which several test files share; conftest.py has its fixtures."""

import subprocess
import sys

from gdd_plugin.training import student
from gdd_plugin.training.journal import Schedule
from gdd_plugin.training.train import Settings

SHORT = student.Settings(steps=4, classes=2, generated=4, real=8)
SMALL = Settings(
    "fashion-mnist",
    seed=3,
    held_out=200,
    features=Schedule(4, 16, 2e-3),
    autoencoder=Schedule(4, 8, 2e-3),
    teacher=Schedule(4, 16, 1e-3, ema=0.998),
    student=SHORT,
)
SIZES = ("--classes", "2", "--generated", "4", "--real", "8")
COMMAND = (sys.executable, "-m", "gdd_plugin.training.cli")


def run(*command, **options):
    return subprocess.run([*COMMAND, *map(str, command)], capture_output=True, text=True, timeout=300, check=False, **options)
