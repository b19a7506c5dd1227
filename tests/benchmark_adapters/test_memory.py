"""Tests of the settings of the memory allocator."""

import platform
import subprocess
import sys

import pytest

ROUNDS = 20
NEW_PAGES = f"""
import resource
import numpy as np
from benchmark_adapters import memory
{{before}}
for _ in range(2 * {ROUNDS}):
    if _ == {ROUNDS}:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries stay unchanged")
def test_freed_memory_is_used_again():
    assert new_pages("memory.keep_freed_memory()") < ROUNDS <= new_pages("pass")


def new_pages(before):
    """Return how many new pages a process gets for 20 arrays of 64 MB, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", NEW_PAGES.format(before=before)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)
