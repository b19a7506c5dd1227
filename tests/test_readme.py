"""The generated parts of README.md, between ``<!-- $ COMMAND -->`` and ``<!-- end -->``: `python tests/test_readme.py` writes them anew."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
PART = re.compile(r"<!-- \$ (?P<command>.*?) -->\n.*?<!-- end -->", re.DOTALL)


def output(command: str) -> str:
    """What ``command`` prints, run beside README.md; tables as they are, other text in a fence."""
    program, *arguments = command.split()
    environment = {**os.environ, "COLUMNS": "110"}
    environment.pop("PYTHONPATH", None)
    command_line = [Path(sys.executable).parent / program, *arguments]
    text = subprocess.run(command_line, cwd=README.parent, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    return text if text.startswith("###") else f"```text\n{text}\n```"


def generated() -> str:
    return PART.sub(lambda part: f"<!-- $ {part['command']} -->\n{output(part['command'])}\n<!-- end -->", README.read_text())


def test_generated_parts_are_up_to_date():
    assert len(PART.findall(README.read_text())) >= 3
    assert generated() == README.read_text()


if __name__ == "__main__":
    README.write_text(generated())
