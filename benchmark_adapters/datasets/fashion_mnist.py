"""Fashion-MNIST, read from IDX or Parquet files.

The test split and part of the training split are bundled as IDX files.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.datasets import parquet
from benchmark_adapters.datasets.class_names import read_class_names
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, Split
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

MARKER, RAW = "*-idx?-ubyte*", "FashionMNIST/raw"
PARQUET_FOLDERS = ("fashion-mnist", "fashion_mnist")
BUNDLED = Path(__file__).parent / "bundled" / "fashion-mnist"


def read(folder: Path, split: Split) -> tuple[Array, Array]:
    """Read one split: images uint8 [N, 1, 28, 28] and labels int64 [N].

    Raises:
        UserError: a file is missing or damaged.
    """
    found = parquet.files(folder, PARQUET_FOLDERS, split)
    if not found or _has_idx(folder):
        return read_idx(folder, split)
    return parquet.read(found, [FASHION_MNIST.class_names], "reading fashion-mnist")


def missing(folder: Path, split: Split) -> list[str]:
    """Return the names of the files of a split that a folder lacks."""
    if _has_idx(folder):
        return [name for name in _names(split) if not _file(_raw(folder), name)]
    return [] if parquet.files(folder, PARQUET_FOLDERS, split) else [f"{split}-*.parquet"]


def read_idx(folder: Path, split: Split) -> tuple[Array, Array]:
    """Read one split from IDX files, plain or gzipped. Verify the checksums of bundled files.

    Returns:
        Images uint8 [N, 1, 28, 28] and labels int64 [N].

    Raises:
        UserError: a file is missing or damaged.
    """
    images, labels = _names(split)
    pixels = _read_array(_raw(folder), images, dimensions=3)
    return pixels[:, None], _read_array(_raw(folder), labels, dimensions=1).astype("int64")


def _has_idx(folder: Path) -> bool:
    return any(_raw(folder).glob(MARKER))


def _names(split: Split) -> tuple[str, str]:
    """Return the names of the files with images and labels."""
    stem = "train" if split == "train" else "t10k"
    return f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"


def _raw(folder: Path) -> Path:
    """Return the folder with the IDX files."""
    torchvision_folder = folder / RAW
    return torchvision_folder if torchvision_folder.is_dir() else folder


def _file(folder: Path, name: str) -> Path | None:
    """Return the file, plain or gzipped; None: there is none."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _read_array(folder: Path, name: str, dimensions: int) -> Array:
    """Read an array of bytes from an IDX file.

    The file consists of two zero bytes, the type 8, the number of dimensions, each dimension as a
    big-endian uint32, and the data.
    """
    import numpy as np

    path = _file(folder, name)
    if path is None:
        raise UserError(f"{folder}: {name}[.gz] is missing")
    raw = path.read_bytes()
    _verify_bundled(path, raw)
    try:
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); download it again") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(
            f"{path}: not an IDX file of bytes with {dimensions} "
            f"{plural(dimensions, 'dimension')}; download it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = len(content) - header
    if size != int(np.prod(shape)):
        raise UserError(
            f"{path}: {size} {plural(size, 'byte')} of data, but the header says {shape}; "
            "download it again"
        )
    # A copy, because torch expects writable arrays.
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _verify_bundled(path: Path, content: bytes) -> None:
    """Verify the checksum of a bundled file; ignore other files."""
    if path.parent != BUNDLED:
        return
    lines = (BUNDLED / "SHA256SUMS").read_text().splitlines()
    checksums = {name: checksum for checksum, name in map(str.split, lines)}
    if checksums.get(path.name) != hashlib.sha256(content).hexdigest():
        raise UserError(f"{path}: the SHA-256 does not match SHA256SUMS; reinstall the package")


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(folder), download=True)


FASHION_MNIST = Dataset(
    name="fashion-mnist",
    class_names=read_class_names("fashion-mnist"),
    image_size=28,
    channels=1,
    mean=(0.2861,),
    std=(0.3530,),
    read=read,
    markers=(MARKER, f"{RAW}/{MARKER}", *parquet.markers(PARQUET_FOLDERS)),
    get="download it with `ddbench data fashion-mnist --download`, install Debian's package "
    "dataset-fashion-mnist, or point --data or $DDBENCH_DATA to its folder",
    test_size=10_000,
    download=_download,
    summary="10 classes of 28x28 greyscale images of clothing "
    "(test split and 100 training images per class bundled)",
    system_folders=("/usr/share/datasets/fashion-mnist",),
    bundled=BUNDLED,
    missing=missing,
    has_disjoint_splits=True,
)
