"""Faster training steps on a CPU.

Only `benchmark_adapters.scoring.backends` imports this package. It affects speed and rounding only.
"""
