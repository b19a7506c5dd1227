"""Fuzz the reader of submissions, entered where the sandbox's process for reading them begins.

``python tests/faults/fuzz_submission.py CORPUS -max_total_time=60 ...`` takes libFuzzer's options,
and ``... FILE`` repeats what it found. Run it with ``tests/support`` in ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest import mock

import atheris

# ruff: noqa: E402
# Of the packages that are imported here, libFuzzer learns which branches of these are taken.
OURS = {"include": ["benchmark_adapters", "leaderboard"]}
with atheris.instrument_imports(**OURS):
    from benchmark_adapters import plugins
    from benchmark_adapters.checks.content import inspect
    from benchmark_adapters.execution import child, decoder
    from benchmark_adapters.execution.messages import DecodeJob, Failed, SandboxEvent
    from benchmark_adapters.formats import FORMATS, native

import fuzz_cases
import fuzz_mutations
import msgspec
import psutil
import torch
from fuzz_cases import DATASETS, MAX_CASE, Case
from fuzz_watch import Watch
from hostile_files import MAX_MEGABYTES

# What the line says where memory ran out. A submission of this size needs none to speak of.
GREED = ("memory limit", "allocate")
NAMES = (
    *(b"labels.pt", b"images.pt", b"data.pt", b"images.npz", b"manifest.json", b"\xff.pt"),
    *(b"00001/a.png", b"new001/a.jpg", b"train/00000/a.png", b"a/images.safetensors"),
)
WATCH = Watch()


def one_input(data: bytes) -> None:
    """Read a submission; whatever it is, it is read or refused with one line."""
    case = Case.decoded(data)
    if case is None:
        return
    with TemporaryDirectory() as folder:
        given, output = Path(folder, "team"), Path(folder, "output")
        given.mkdir()
        output.mkdir()
        path = case.write(given)
        if path is None:
            return
        with WATCH.within(output):
            events = decoded(case, path, output)
            if not any(isinstance(event, Failed) for event in events):
                check_set(case, output)
        assert {one.name for one in Path(folder).iterdir()} == {"team", "output"}
    for failure in (event for event in events if isinstance(event, Failed)):
        assert failure.cause == "user", failure
        assert not any(word in failure.text for word in GREED), failure


def decoded(case: Case, path: Path, output: Path) -> list[SandboxEvent]:
    """Return what the process that reads a submission sends, as the harness hears it."""
    lines: list[bytes] = []
    job = DecodeJob(str(path), case.format, case.dataset, str(output), case.resizes)
    child.guarded(decoder.decode)(job, lambda event: lines.append(msgspec.json.encode(event)))
    return [msgspec.json.decode(line, type=SandboxEvent) for line in lines]


def check_set(case: Case, output: Path) -> None:
    """Check the set that was read, as scoring does, and that it is one of its dataset."""
    dataset = DATASETS[case.dataset]
    made = native.load(output, dataset)
    inspect(made, dataset)
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    assert made.images.shape == (len(made.labels), *shape)
    assert made.images.dtype == ("float32" if made.normalisation else "uint8")
    assert set(made.labels.tolist()) <= set(range(dataset.num_classes))
    assert {file.name for file in output.iterdir()} == {native.IMAGES, native.MANIFEST}


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """Change a file of a submission by its structure, or which files there are, or how it is read.

    libFuzzer calls this.
    """
    random = Random(seed)
    case = Case.decoded(data) or random.choice(seeds())

    def raw(part: bytes) -> bytes:
        return atheris.Mutate(part, len(part) + 20)

    for _ in range(random.choice((1, 1, 2, 3))):
        case = _changed(random, raw, case)
    new = case.encoded()
    return new if len(new) <= max_size else data


def _changed(random: Random, raw: fuzz_mutations.Raw, case: Case) -> Case:
    change, files, kind = msgspec.structs.replace, dict(case.files), random.random()
    name = random.choice(list(files) or [b"a"])
    if kind < 0.85 and files:
        files[name] = fuzz_mutations.content(random, raw, files[name])
    elif kind < 0.87:
        return change(case, format=random.choice([None, *(one.name for one in FORMATS)]))
    elif kind < 0.89:
        return change(case, path=random.choice((b"", name)))
    elif kind < 0.90:
        return change(case, resizes=not case.resizes)
    elif kind < 0.92:
        return change(case, dataset=random.choice(list(DATASETS)))
    elif kind < 0.94:
        return fuzz_cases.archived(case)
    elif kind < 0.97:
        files |= random.choice(seeds()).files
    else:
        new = random.choice((*NAMES, b"a/" + name, raw(name)))
        files[new] = files.pop(name, b"")
    return change(case, files=files)


@cache
def seeds() -> list[Case]:
    """Return what fuzzing begins with."""
    return [*fuzz_cases.good(), *fuzz_cases.hostile()]


def main() -> None:
    """Read all seeds, so that what is imported is imported, and begin."""
    torch.set_num_threads(1)
    os.environ[child.MEMORY_ENV] = str(psutil.virtual_memory().total * 3 // 4)
    os.environ[child.DEBUG_ENV] = "1"
    # What is installed doesn't change, and looking takes longer than reading.
    installed = plugins.build()
    mock.patch.object(plugins, "build", return_value=installed).start()
    with atheris.instrument_imports(**OURS):
        for case in seeds():
            one_input(case.encoded())
    for number, case in enumerate(seeds()):
        if Path(sys.argv[1]).is_dir():
            (Path(sys.argv[1]) / f"seed-{number}").write_bytes(case.encoded())
    WATCH.is_on = True
    used = psutil.Process().memory_info().rss // 2**20
    limits = [f"-rss_limit_mb={used + MAX_MEGABYTES}", f"-max_len={MAX_CASE}", "-len_control=0"]
    atheris.Setup([*sys.argv, *limits, "-cross_over=0"], one_input, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
