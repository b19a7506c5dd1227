"""Checks of a distilled set before anything is trained on it."""
