"""Public import path of the built-in students, for scripts and plugins."""

from benchmark_adapters.scoring.students import ConvNet as ConvNet
from benchmark_adapters.scoring.students import build as build
