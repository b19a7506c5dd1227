"""Engines: where the tasks of a sweep run. `engine` says what each of them does."""
