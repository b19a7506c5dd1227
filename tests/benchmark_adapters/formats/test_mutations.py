"""Files of all formats with random changes are read, or refused with one line.

``make faults PART=properties`` tries thousands of them.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mutations import CHANGES, FORMAT, check_mutations, check_unpacking

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.distilled import class_major_set

QUICK = settings(max_examples=25, deadline=None, database=None, derandomize=True)


@pytest.mark.parametrize("name", FORMAT)
@QUICK
@given(changes=CHANGES)
def test_a_changed_file_is_read_or_refused_with_one_line(name, changes):
    check_mutations(name, changes)


@QUICK
@given(changes=CHANGES)
def test_a_changed_archive_is_unpacked_or_refused_with_one_line(changes):
    check_unpacking(changes)


LABELS = st.lists(st.integers(0, 2), max_size=3).map(lambda more: [*range(10), *more])


@pytest.mark.parametrize("name", ["native", "dcbench", "mtt", "idc", "npz", "imagefolder"])
@settings(QUICK, max_examples=10)
@given(labels=LABELS, data=st.data())
def test_any_set_is_read_as_it_was_written(name, labels, data):
    labels = np.array(labels)
    images = data.draw(arrays.arrays(np.uint8, (len(labels), 1, 28, 28)))
    made = class_major_set(images, labels, FASHION_MNIST, "made")
    with TemporaryDirectory() as folder:
        FORMAT[name].write({"fashion-mnist": (FASHION_MNIST, made)}, Path(folder))
        back = FORMAT[name].read(Path(folder), FASHION_MNIST)
        assert np.array_equal(back.images, made.images)
        assert np.array_equal(back.labels, made.labels)
