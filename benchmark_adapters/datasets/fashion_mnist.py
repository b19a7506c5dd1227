"""Fashion-MNIST, as IDX files. The test split and a part of the training split are bundled."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.datasets.class_names import read_class_names
from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, Split
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

BUNDLED = Path(__file__).parent / "bundled" / "fashion-mnist"


def read_idx(folder: Path, split: Split) -> tuple[Array, Array]:
    """Read IDX files, plain or gzipped; bundled ones are checked against their checksums.

    Returns:
        Images uint8 [N, 1, 28, 28] and labels int64 [N].

    Raises:
        UserError: a file is missing or damaged.
    """
    torchvision_folder = folder / "FashionMNIST" / "raw"
    if torchvision_folder.is_dir():
        folder = torchvision_folder
    stem = "train" if split == "train" else "t10k"
    images = _read_array(folder, f"{stem}-images-idx3-ubyte", dimensions=3)
    labels = _read_array(folder, f"{stem}-labels-idx1-ubyte", dimensions=1)
    return images[:, None], labels.astype("int64")


def _read_array(folder: Path, name: str, dimensions: int) -> Array:
    """Read an array of bytes.

    An IDX file holds 0, 0, the type 8, the number of dimensions, each dimension as big-endian
    uint32, and the data.
    """
    import numpy as np

    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise UserError(f"{folder}: {name}[.gz] is missing")
    raw = path.read_bytes()
    _verify_bundled(path, raw)
    try:
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); get it again") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(
            f"{path}: no IDX file of bytes in {dimensions} {plural(dimensions, 'dimension')}; "
            "get it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    size = len(content) - header
    if size != int(np.prod(shape)):
        raise UserError(
            f"{path}: {size} {plural(size, 'byte')} of data where its header says {shape}; "
            "get it again"
        )
    # A copy, since torch wants writable arrays.
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _verify_bundled(path: Path, content: bytes) -> None:
    """Check a bundled file against the checksum next to it; ignore other files."""
    if path.parent != BUNDLED:
        return
    lines = (BUNDLED / "SHA256SUMS").read_text().splitlines()
    checksums = {name: checksum for checksum, name in map(str.split, lines)}
    if checksums.get(path.name) != hashlib.sha256(content).hexdigest():
        raise UserError(
            f"{path}: its sha256 is not the one in SHA256SUMS; install the package again"
        )


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
    read=read_idx,
    markers=("t10k-images-idx3-ubyte*", "FashionMNIST/raw/t10k-images-idx3-ubyte*"),
    get="get it with `ddbench data fashion-mnist --download`, or install Debian's "
    "dataset-fashion-mnist, or point --data or $DDBENCH_DATA to its folder",
    test_size=10_000,
    download=_download,
    summary="10 classes of 28x28 grey pictures of clothes "
    "(test split and 100 training images per class bundled)",
    system_folders=("/usr/share/datasets/fashion-mnist",),
    bundled=BUNDLED,
)
