"""What must hold for all sets, files and records, tried with thousands of each by hypothesis.

``PROPERTY_EXAMPLES`` is the number for each property and format, 2,000 by default. What takes long
has a part of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import any_record
import numpy as np
import pytest
import shown_records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import CHANGES, FORMAT, check_mutations, check_unpacking

from benchmark_adapters import plugins
from benchmark_adapters.datasets import CIFAR10, FASHION_MNIST
from benchmark_adapters.distilled import class_major_set
from benchmark_adapters.execution import decoder
from benchmark_adapters.execution.messages import DecodeJob
from benchmark_adapters.formats import native
from benchmark_adapters.types import Dataset, DistilledSet
from leaderboard.records.record import Record

pytestmark = pytest.mark.faults

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "2000"))
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def part(divisor: int) -> settings:
    """Return the settings of a property of which trying an example takes longer."""
    return settings(MANY, max_examples=max(1, EXAMPLES // divisor))


# Formats that store floats as they are.
FLOATS = ("native", "eccv2024", "dcbench", "mtt", "ddranking", "npz")


@pytest.fixture(autouse=True)
def _plugins_read_once(monkeypatch):
    """Look once for what is installed, since that takes longer than reading a set."""
    installed = plugins.build()
    monkeypatch.setattr(plugins, "build", lambda: installed)


@pytest.fixture
def counted(measured):
    """Return a block that counts the calls of what it returns, and adds the row of a property.

    ``of`` is the format that it is tried on.
    """

    @contextmanager
    def count_calls(what: str, of: str = "") -> Iterator[Callable[[], int]]:
        calls = count()
        yield lambda: next(calls)
        measured(property=what, of=of, examples=next(calls), failures=0)

    return count_calls


@st.composite
def sets(draw: Any, dataset: Dataset, are_floats: bool, are_even: bool) -> DistilledSet:
    """Return a set with images of all classes; with as many of each if they ``are_even``."""
    labels = np.arange(dataset.num_classes).repeat(draw(st.integers(1, 2)))
    if not are_even:
        more = draw(st.lists(st.integers(0, dataset.num_classes - 1), max_size=5))
        labels = draw(st.permutations([*range(dataset.num_classes), *more]))
    side, random = dataset.image_size, np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (len(labels), dataset.channels, side, side)
    images = random.integers(0, 256, shape, dtype=np.uint8)
    if are_floats:
        images = random.normal(0, draw(st.sampled_from([1e-9, 1, 1e9])), shape).astype(np.float32)
        # No whole number of pixels, or it would be read as bytes, and then whatever floats can be.
        images.flat[0] = 0.1234
        for value in draw(st.lists(st.floats(width=32), max_size=5)):
            images.flat[random.integers(1, images.size)] = value
    norm = (dataset.mean, dataset.std) if are_floats else None
    return class_major_set(images, np.array(labels), dataset, "made", normalisation=norm)


def check_round_trip(name: str, dataset: Dataset, made: DistilledSet, way: str) -> None:
    """Write a set, read it as `ddbench check` and `ddbench score` do, and compare all bits."""
    with TemporaryDirectory() as folder:
        path, output = Path(folder, "team"), Path(folder, "output")
        path.mkdir()
        output.mkdir()
        FORMAT[name].write({dataset.name: (dataset, made)}, path)
        if way == "archive":
            path = Path(shutil.make_archive(str(path), "zip", path))
        known = None if way == "detected" else name
        decoder.decode(DecodeJob(str(path), known, dataset.name, str(output)), lambda event: None)
        back = native.load(output, dataset)
        assert back.images.dtype == made.images.dtype
        assert back.images.tobytes() == made.images.tobytes()
        assert back.labels.tolist() == made.labels.tolist()
        assert back.normalisation == made.normalisation


WAYS = st.sampled_from(["named", "detected", "archive"])


@pytest.mark.parametrize("dataset", [FASHION_MNIST, CIFAR10], ids=lambda dataset: dataset.name)
@pytest.mark.parametrize("name", FORMAT)
def test_what_was_exported_is_read_bit_for_bit(name, dataset, counted):
    with counted("bytes are read as they were exported", name) as counts:

        @part(4)
        @given(made=sets(dataset, False, name == "eccv2024"), way=WAYS)
        def holds(made, way):
            counts()
            check_round_trip(name, dataset, made, way)

        holds()


@pytest.mark.parametrize("name", FLOATS)
def test_exported_floats_are_read_bit_for_bit(name, counted):
    with counted("floats are read as they were exported", name) as counts:

        @part(2)
        @given(made=sets(FASHION_MNIST, True, name == "eccv2024"), way=WAYS)
        def holds(made, way):
            counts()
            check_round_trip(name, FASHION_MNIST, made, way)

        holds()


@pytest.mark.parametrize("name", FORMAT)
def test_no_changed_file_is_read_otherwise(name, counted):
    with counted("a damaged file is read, or refused with one line", name) as counts:

        @MANY
        @given(changes=CHANGES)
        def holds(changes):
            counts()
            check_mutations(name, changes)

        holds()


def test_no_changed_archive_is_unpacked_otherwise(counted):
    with counted("a damaged archive is unpacked, or refused with one line") as counts:

        @MANY
        @given(changes=CHANGES)
        def holds(changes):
            counts()
            check_unpacking(changes)

        holds()


def test_a_record_is_read_as_it_was_written(counted):
    with counted("a record is read as it was written") as counts:

        @MANY
        @given(record=any_record.records())
        def holds(record):
            counts()
            assert Record.from_json(record.to_json()) == record

        holds()


# Records that meet in tables, and may be ranked.
MEETING = {
    "track": st.sampled_from(["quickstart", "eccv2024", "own"]),
    "dataset": st.sampled_from(["fashion-mnist", "cifar100", "tiny-imagenet"]),
    "method": st.sampled_from(["one", "One", "two\u200b", "_three"]),
    "status": st.sampled_from(["ok", "ok", "timeout", "invalid"]),
    "images_sha256": st.sampled_from(["a", "b", None]),
}
RECORDS = st.lists(any_record.records() | any_record.records(**MEETING), min_size=1, max_size=4)


def test_everything_can_be_made_of_any_records(counted):
    with counted("tables, texts and comparisons can be made of any records") as counts:

        @part(10)
        @given(records=RECORDS)
        def holds(records):
            counts()
            for text in shown_records.texts([(Path("nowhere"), one) for one in records]):
                text.encode()

        holds()


def test_pages_can_be_made_of_any_records(counted):
    with counted("pages can be made of any records") as counts:

        @part(10)
        @given(records=RECORDS)
        def holds(records):
            counts()
            with TemporaryDirectory() as folder:
                entries = [(Path("nowhere"), replace(one)) for one in records]
                shown_records.write_pages(entries, Path(folder))

        holds()
