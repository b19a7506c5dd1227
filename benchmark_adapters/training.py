"""Public import path for training and testing students, for scripts and plugins."""

from benchmark_adapters.scoring.backends import feature_function as feature_function
from benchmark_adapters.scoring.training import AUGMENTATIONS as AUGMENTATIONS
from benchmark_adapters.scoring.training import accuracy as accuracy
from benchmark_adapters.scoring.training import train as train
