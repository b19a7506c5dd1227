"""Files of all formats with random changes, and what reading them must come to."""

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import strategies as st
from sample_sets import real_set

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.formats import FORMATS, archives
from benchmark_adapters.types import DistilledSet, UserError

FORMAT = {format.name: format for format in FORMATS}
SETS = {"fashion-mnist": (FASHION_MNIST, real_set(1))}
# Bytes with a meaning in one of the formats, beside random ones.
TELLING = st.sampled_from(
    [b"", b"\0", b"\xff" * 8, b"PK\x01\x02", b"\x7f\xff\xff\xff", b"R", b"{["]
)
# Where a change starts, how many bytes it replaces, and by what. Most structure is at the ends.
CHANGE = st.tuples(
    st.one_of(st.integers(0, 700), st.integers(-700, -1), st.integers(0, 10**6)),
    st.integers(0, 40),
    st.one_of(TELLING, st.binary(max_size=40)),
)
CHANGES = st.lists(CHANGE, min_size=1, max_size=4)


def mutated(content, changes):
    for start, length, new in changes:
        at = start % (len(content) + 1)
        content = content[:at] + new + content[at + length :]
    return content


def outcome(function, *arguments):
    """Return the result of a call, or its `UserError`, which must be one line."""
    try:
        return function(*arguments)
    except UserError as error:
        refusal = error
    assert "\n" not in str(refusal)
    assert len(str(refusal)) < 600
    return refusal


def check_mutations(name, changes):
    with TemporaryDirectory() as folder:
        FORMAT[name].write(SETS, Path(folder))
        file = max(FORMAT[name].find(Path(folder), FASHION_MNIST), key=lambda one: one.name)
        file.write_bytes(mutated(file.read_bytes(), changes))
        distilled = outcome(FORMAT[name].read, Path(folder), FASHION_MNIST)
    if not isinstance(distilled, UserError):
        assert isinstance(distilled, DistilledSet)
        assert distilled.images.shape[1:] == (1, 28, 28)
        assert distilled.images.dtype in (np.uint8, np.float32)
        assert len(distilled.labels) == len(distilled.images)
        assert set(distilled.labels.tolist()) <= set(range(10))


def check_unpacking(changes):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/one.pt", bytes(2000))
        archive.writestr("a/b/two.pt", b"two" * 100)
    with TemporaryDirectory() as folder:
        path, out = Path(folder, "team.zip"), Path(folder, "out")
        path.write_bytes(mutated(target.getvalue(), changes))
        outcome(archives.unpack, path, out)
        assert {entry.name for entry in Path(folder).iterdir()} <= {"team.zip", "out"}
        unpacked = [entry for entry in out.rglob("*") if entry.is_file()]
        assert sum(entry.stat().st_size for entry in unpacked) <= 2**20
