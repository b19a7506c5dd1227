"""Fuzz what opens files and records of strangers, with atheris and what libFuzzer learns.

``FUZZ_SECONDS`` is the time for each of the two; 600 by default. What is found is kept in the
folder that the message names: ``PYTHONPATH=tests/support python tests/faults/fuzz_PART.py FILE``
repeats it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, TESTS

pytestmark = pytest.mark.faults
pytest.importorskip("atheris", reason="fuzzing needs atheris: pip install 'ddbench[fuzz]'")

SECONDS = int(os.environ.get("FUZZ_SECONDS", "600"))
# Seconds for a single input.
MAX_SECONDS = 60
END = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: \d+/\S+ .*rss: (\d+)Mb")
SEEDS = re.compile(r"seed corpus: files: (\d+)")


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("submission", "the reader of submissions: all formats and archives"),
        ("record", "the reader of records, then ranks, tables, comparisons and pages"),
    ],
)
def test_nothing_of_a_stranger_breaks_what_reads_it(part, what, tmp_path, measured):
    corpus, found = tmp_path / "corpus", tmp_path / "found"
    corpus.mkdir()
    found.mkdir()
    script = TESTS / "faults" / f"fuzz_{part}.py"
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", script, corpus, f"-artifact_prefix={found}/"),
            *(f"-max_total_time={SECONDS}", f"-timeout={MAX_SECONDS}", "-print_final_stats=1"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(TESTS / "support"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        timeout=SECONDS + 600,
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("INFO", "#"))]
    inputs = sorted(found.iterdir())
    assert not inputs, f"{kept(inputs)}\n" + "\n".join(lines[-60:])
    assert done.returncode == 0, "\n".join(lines[-60:])
    end, seeds = END.search(done.stderr), SEEDS.search(done.stderr)
    assert end, done.stderr[-2000:]
    assert seeds, done.stderr[-2000:]
    tried, branches, features, memory = map(int, end.groups())
    assert tried > int(seeds[1])
    measured(
        target=what,
        seconds=SECONDS,
        **{"inputs tried": f"{tried:,}", "findings": len(inputs), "inputs at first": int(seeds[1])},
        **{"branches reached": branches, "features": features, "MB at most": memory},
    )


def kept(inputs: list[Path]) -> str:
    """Return the paths of what was found."""
    return ", ".join(map(str, inputs))
