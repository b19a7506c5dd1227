"""Decoders that are fitted to the exact decoder at the start of a run."""
