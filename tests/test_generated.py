"""Parts of documents between ``<!-- $ COMMAND -->`` and ``<!-- end -->`` are generated.

`make generated` writes them again.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PART = re.compile(r"<!-- \$ (?P<command>.*?) -->\n.*?<!-- end -->", re.DOTALL)
DOCUMENTS = [
    path for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")) if PART.search(path.read_text())
]


def output(command: str) -> str:
    """Run ``command`` in the project's folder; return tables as they are, other text in a fence."""
    program, *arguments = command.split()
    environment = {**os.environ, "COLUMNS": "100"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout.strip()
    return text if "\n|" in text else f"```text\n{text}\n```"


def generated(text: str) -> str:
    return PART.sub(
        lambda part: f"<!-- $ {part['command']} -->\n{output(part['command'])}\n<!-- end -->", text
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_generated_parts_are_up_to_date(document):
    text = document.read_text()
    assert generated(text) == text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(generated(document.read_text()))
