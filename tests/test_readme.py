"""The parts of documents between ``<!-- $ COMMAND -->`` and ``<!-- end -->`` are up to date.

`python tests/test_readme.py` regenerates them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Documents, and the number of their generated parts.
DOCUMENTS = {ROOT / "README.md": 5, ROOT / "docs" / "results.md": 2}
PART = re.compile(r"<!-- \$ (?P<command>.*?) -->\n.*?<!-- end -->", re.DOTALL)


def output(command: str) -> str:
    """Run ``command`` in the project's folder and return its output as Markdown.

    Tables are returned as they are, and other text in a code fence.
    """
    program, *arguments = command.split()
    environment = {**os.environ, "COLUMNS": "110"}
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
    return text if text.startswith("###") else f"```text\n{text}\n```"


def generated(text: str) -> str:
    return PART.sub(
        lambda part: f"<!-- $ {part['command']} -->\n{output(part['command'])}\n<!-- end -->", text
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_generated_parts_are_up_to_date(document):
    text = document.read_text()
    assert len(PART.findall(text)) == DOCUMENTS[document]
    assert generated(text) == text


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(generated(document.read_text()))
