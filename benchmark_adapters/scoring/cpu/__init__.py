"""Faster training steps on a CPU.

Only `benchmark_adapters.scoring.backends` imports this folder. Without it everything works, slower.
"""
