"""Runs: from a request to the folder with a record."""
