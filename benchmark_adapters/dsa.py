"""Differentiable Siamese Augmentation, under the path that scripts and plugins use."""

from benchmark_adapters.scoring.dsa import FAMILIES as FAMILIES
from benchmark_adapters.scoring.dsa import STRATEGY as STRATEGY
from benchmark_adapters.scoring.dsa import augment as augment
