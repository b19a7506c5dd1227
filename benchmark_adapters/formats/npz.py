"""The ``.npz`` files of FRePo (``image`` and ``label``) and KIP (``images`` and ``labels``).

Images are normalised, with channels last. A label is a vector with a value for each class: the
class has 1 and the others 0, or these values less their mean.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import safe_load, zips
from benchmark_adapters.formats.bounds import Refused, fill
from benchmark_adapters.formats.layout import Sets, only_file, read_folders, write_folder
from benchmark_adapters.formats.normalized import own_normalisation, to_set, to_tensor
from benchmark_adapters.types import Dataset, DistilledSet

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

FILE = "images.npz"
NAMES = (("image", "label"), ("images", "labels"))
# Differences between labels that rounding in float32 may cause.
MAX_LABEL_ERROR = 1e-5


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or the ``.npz`` files in the folder ``path``."""
    if path.is_file():
        return [path]
    for folder in read_folders(path, dataset):
        if files := sorted(folder.glob("*.npz")):
            return files
    return []


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read images and labels.

    Raises:
        UserError: there is no file or more than one, its content is not as expected, or its labels
            were learned.
    """
    import torch

    file = only_file(path, find(path, dataset), "*.npz")
    images, labels = _arrays(file)
    if images.ndim != 4:
        raise UserError(f"{file}: images of shape {list(images.shape)}, expected [n, H, W, C]")
    channels_first = torch.from_numpy(images).permute(0, 3, 1, 2)
    classes = torch.from_numpy(_classes(labels, dataset, file))
    return to_set(channels_first, classes, dataset, own_normalisation(dataset), file)


def write(sets: Sets, folder: Path) -> None:
    """Write ``images.npz`` with FRePo's names for each set."""
    import numpy as np

    for dataset, distilled in sets.values():
        images = to_tensor(distilled, own_normalisation(dataset)).permute(0, 2, 3, 1)
        labels = np.eye(dataset.num_classes, dtype=np.float32)[distilled.labels]
        centred = labels - np.float32(1 / dataset.num_classes)
        target = write_folder(folder, sets, dataset)
        np.savez(target / FILE, image=images.numpy(), label=centred)


def _arrays(file: Path) -> tuple[Array, Array]:
    """Return images and labels as they are stored; sizes are checked before they are loaded."""
    with (
        safe_load.opened(file) as opened,
        safe_load.one_line_errors(file, "arrays"),
        zips.opened(opened, safe_load.MAX_BYTES) as archive,
    ):
        found = {name.removesuffix(".npy") for name in archive.namelist()}
        for images, labels in NAMES:
            if {images, labels} <= found:
                return _array(archive, images), _array(archive, labels)
    names = one_line(", ".join(sorted(found)), safe_load.MAX_REASON_CHARS)
    raise UserError(f"{file}: expected image and label, or images and labels; found {names}")


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    """Return an array of numbers in this machine's byte order.

    numpy's own reader would take as much memory as the header says, whatever follows it.

    Raises:
        Refused: the array has other values, or another size than its header says.
    """
    import numpy as np
    from numpy.lib import format as npy

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in headers:
            raise Refused(f"{name} has version {version} of numpy's format")
        shape, is_fortran, dtype = headers[version](stream)
        if dtype.kind not in "fiu":
            raise Refused(f"{name} has values of type {dtype}")
        count = math.prod(shape)
        if count * dtype.itemsize != member.file_size - stream.tell():
            raise Refused(f"{name} has not as many values as its shape {shape} says")
        array = np.empty(count, dtype)
        fill(array.view(np.uint8).data, stream)
    array = array.reshape(shape, order="F" if is_fortran else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _classes(labels: Array, dataset: Dataset, file: Path) -> Array:
    """Return the class of each image, int64 [n].

    Raises:
        UserError: labels are vectors of another kind, for example learned ones.
    """
    import numpy as np

    if labels.ndim == 1:
        return labels
    if labels.ndim != 2 or labels.shape[1] != dataset.num_classes or labels.dtype.kind not in "fiu":
        raise UserError(
            f"{file}: labels of shape {list(labels.shape)}, expected [n] or "
            f"[n, {dataset.num_classes}]"
        )
    classes = labels.argmax(1)
    hard = np.eye(dataset.num_classes)[classes]
    centred = hard - 1 / dataset.num_classes
    for expected in (hard, centred):
        if np.allclose(labels, expected, rtol=0, atol=MAX_LABEL_ERROR):
            return classes
    raise UserError(
        f"{file}: its labels are learned or soft, but recipes train with hard labels, one class "
        "for each image"
    )
