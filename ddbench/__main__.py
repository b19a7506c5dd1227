"""Lets ``python -m ddbench`` stand for the command ``ddbench``."""

from benchmark_adapters.cli import main

if __name__ == "__main__":
    main()
