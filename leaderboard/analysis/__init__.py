"""Ranks, means and comparisons computed from records."""
