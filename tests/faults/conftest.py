"""Do harm on purpose, and write what it achieved to docs/faults, one file for each part.

``make faults`` runs all parts, and ``make faults PART=kills`` one of them. Then ``make generated``
puts the numbers into docs/reliability.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from project import ROOT

RESULTS = ROOT / "docs" / "faults"


@pytest.fixture(scope="module")
def measured(request) -> Iterator[Callable[..., None]]:
    """Return a function that adds a row to the table of this part.

    The file is named like the module, without ``test_``. It is written when the module has ended
    and none of its tests has failed.
    """
    rows: list[dict[str, Any]] = []
    failed = request.session.testsfailed
    yield lambda **row: rows.append(row)
    if rows and request.session.testsfailed == failed:
        name = request.module.__name__.rpartition("test_")[2]
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")
