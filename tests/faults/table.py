"""Print the table of a part of ``make faults``: ``python tests/faults/table.py PART``."""

import json
import sys
from pathlib import Path

from tabulate import tabulate

RESULTS = Path(__file__).parents[2] / "docs" / "faults"


def folded(rows):
    """Join rows that say the same of several formats; add up their numbers."""
    found = {}
    for row in rows:
        what, *values = row.values()
        names, sums = found.setdefault(what, ({}, [0] * (len(values) - 1)))
        names[values[0]] = None
        sums[:] = [total + value for total, value in zip(sums, values[1:], strict=True)]
    return [
        dict(zip(rows[0], (what, ", ".join(names), *sums), strict=True))
        for what, (names, sums) in found.items()
    ]


def text(value):
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


if __name__ == "__main__":
    rows = json.loads((RESULTS / f"{sys.argv[1]}.json").read_text())
    if "of" in rows[0]:
        rows = folded(rows)
    texts = [{key: text(value) for key, value in row.items()} for row in rows]
    print(tabulate(texts, headers="keys", tablefmt="pipe", disable_numparse=True))
