"""Public names for sampling from one-step models."""

from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator as generator

__all__ = ["TurboSampler", "generator"]
