"""Public import path of Differentiable Siamese Augmentation, for scripts and plugins."""

from benchmark_adapters.scoring.dsa import FAMILIES as FAMILIES
from benchmark_adapters.scoring.dsa import STRATEGY as STRATEGY
from benchmark_adapters.scoring.dsa import augment as augment
