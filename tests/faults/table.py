"""Print the table of a part of ``make faults``: ``python tests/faults/table.py PART``."""

import json
import sys
from pathlib import Path

from tabulate import tabulate

RESULTS = Path(__file__).parents[2] / "docs" / "faults"

if __name__ == "__main__":
    rows = json.loads((RESULTS / f"{sys.argv[1]}.json").read_text())
    texts = [{key: str(value).replace("|", "\\|") for key, value in row.items()} for row in rows]
    print(tabulate(texts, headers="keys", tablefmt="pipe", disable_numparse=True))
