"""The command line ``ddbench``, a module for each command."""

from benchmark_adapters.cli.main import main as main
