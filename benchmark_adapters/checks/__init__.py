"""Checks of a distilled set that run before anything is trained on it."""
