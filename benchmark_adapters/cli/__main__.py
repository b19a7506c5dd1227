"""Run ``python -P -m benchmark_adapters.cli``, for when ``ddbench`` is not on the PATH."""

from benchmark_adapters.cli import main

main()
