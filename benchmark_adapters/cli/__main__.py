"""``python -m benchmark_adapters.cli``, where the command is not on the path."""

from benchmark_adapters.cli import main

main()
