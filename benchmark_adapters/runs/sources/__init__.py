"""Where a distilled set comes from: a method, a file, an existing run, or shards of a set.

A source writes a native set into the folder of the new run and tells how it was made. Everything
after that is the same for all of them (`benchmark_adapters.runs.pipeline`).
"""
