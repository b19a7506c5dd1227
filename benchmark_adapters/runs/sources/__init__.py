"""Sources of distilled sets: a method, a file, an existing run, or the shards of a set.

A source writes a native set into the folder of the new run and reports how it was made. Everything
after that is the same for all sources (`benchmark_adapters.runs.pipeline`).
"""
