"""Lets ``python -P -m ddbench`` stand for the command ``ddbench``.

Without ``-P``, Python itself imports modules from the current folder.
"""

from benchmark_adapters.cli import main

if __name__ == "__main__":
    main()
