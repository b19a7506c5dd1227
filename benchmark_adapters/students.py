"""The fixed students, under the path that scripts and plugins use."""

from benchmark_adapters.scoring.students import build as build
