"""Submissions as bytes, which a fuzzer can change: the files of a folder, and how they are read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hostile_files import ATTACKS
from hostile_parts import FORMAT, zipped
from hostile_torch import LEGACY, saved
from sample_sets import float_set, random_set, real_set
from torch import Tensor, tensor

from benchmark_adapters.datasets import CIFAR10, FASHION_MNIST
from benchmark_adapters.types import Dataset, DistilledSet

DATASETS = {dataset.name: dataset for dataset in (FASHION_MNIST, CIFAR10)}
# Larger files take longer and show nothing that smaller ones don't.
MAX_CASE = 80_000


class Case(msgspec.Struct, frozen=True, array_like=True):
    """A submission.

    Attributes:
        format: its format; None: that which the names of its files tell.
        dataset: one of `DATASETS`.
        path: the file that the command is given; empty: the folder.
        resizes: resize its pictures.
        files: content by path in the folder, as bytes, since a name need not be UTF-8.
    """

    format: str | None
    dataset: str
    path: bytes
    resizes: bool
    files: dict[bytes, bytes]

    def encoded(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decoded(cls, data: bytes) -> Case | None:
        """Return the case in ``data``; None: there is none, or it has impossible names."""
        try:
            case = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, RecursionError):
            return None
        names = [case.path, *case.files]
        is_usable = case.dataset in DATASETS and all(map(_is_inside, filter(None, names)))
        return case if is_usable and all(case.files) else None

    def write(self, folder: Path) -> Path | None:
        """Write the files and return the path for the command; None: names exclude each other."""
        root = bytes(folder)
        try:
            for name, content in self.files.items():
                file = Path((root + b"/" + name).decode(errors="surrogateescape"))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        except OSError:
            return None
        return folder / self.path.decode(errors="surrogateescape")


def _is_inside(name: bytes) -> bool:
    """Return whether a name leads to a file inside a folder."""
    return b"\0" not in name and not {b"", b".", b".."} & set(name.split(b"/"))


def case_in(folder: Path, path: Path, format_name: str | None, dataset: str) -> Case | None:
    """Return the files in a folder as a case; None: some are no plain files, or too large."""
    files = {}
    for file in sorted(folder.rglob("*")):
        facts = file.lstat()
        if stat.S_ISDIR(facts.st_mode):
            continue
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_CASE:
            return None
        files[bytes(file.relative_to(folder))] = file.read_bytes()
    given = b"" if path == folder else bytes(path.relative_to(folder))
    case = Case(format_name, dataset, given, False, files)
    return case if len(case.encoded()) <= MAX_CASE else None


def good() -> Iterator[Case]:
    """Yield good sets in all formats, by name and by detection, as folders and as archives."""
    for dataset, distilled in _sets():
        for name, one in FORMAT.items():
            if name == "imagefolder" and distilled.normalisation:
                continue
            with TemporaryDirectory() as folder:
                one.write({dataset.name: (dataset, distilled)}, Path(folder))
                case = case_in(Path(folder), Path(folder), name, dataset.name)
            if case is not None:
                yield case
                yield msgspec.structs.replace(case, format=None)
                yield archived(case)
    images, labels = tensor(real_set(1).images).float() / 255, tensor(real_set(1).labels)
    yield _idc(images, labels)
    yield _idc(images.half(), labels.int(), **LEGACY)


def _sets() -> Iterator[tuple[Dataset, DistilledSet]]:
    yield FASHION_MNIST, real_set(1)
    yield FASHION_MNIST, float_set(FASHION_MNIST)
    yield CIFAR10, random_set(CIFAR10)


def _idc(images: Tensor, labels: Tensor, **options: bool) -> Case:
    files = {b"data.pt": saved([images, labels], **options)}
    return Case("idc", "fashion-mnist", b"data.pt", False, files)


def archived(case: Case) -> Case:
    """Return a case whose files are in a zip archive."""
    members = {
        name.replace(b"\0", b"").decode(errors="replace") or "_": content
        for name, content in case.files.items()
    }
    return msgspec.structs.replace(case, path=b"team.zip", files={b"team.zip": zipped(members)})


def hostile() -> Iterator[Case]:
    """Yield those of the hostile submissions that are plain and small files."""
    for attack in ATTACKS.values():
        if attack.is_slow:
            continue
        with TemporaryDirectory() as folder:
            path = attack.write(Path(folder))
            case = case_in(Path(folder), path, attack.format, "fashion-mnist")
        if case is not None:
            yield msgspec.structs.replace(case, resizes=attack.resizes)
