"""The command line ``ddbench``, with one module per command."""

from benchmark_adapters.cli.main import main as main
