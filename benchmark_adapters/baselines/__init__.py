"""Baseline methods, which choose real training images."""
