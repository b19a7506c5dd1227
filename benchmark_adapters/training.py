"""Training and testing of students, under the path that scripts and plugins use."""

from benchmark_adapters.scoring.training import accuracy as accuracy
from benchmark_adapters.scoring.training import train as train
