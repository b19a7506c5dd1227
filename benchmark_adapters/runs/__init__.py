"""Runs: from a request to a folder with images and a record."""
