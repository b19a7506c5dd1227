"""The files in a run's folder: ``images.safetensors`` and ``manifest.json``."""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.files import read_bounded
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.bounds import Refused
from benchmark_adapters.formats.layout import Sets, read_folders, write_folder
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

IMAGES, MANIFEST = "images.safetensors", "manifest.json"
MAX_MANIFEST_BYTES = MAX_HEADER_BYTES = 2**20
MAX_STD = 1e3
# dtype in the safetensors header -> in numpy.
TYPES = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)
}
# Array name -> its dtype in the safetensors header.
IMAGE_TYPES = {"images": "U8", "images_float": "F32"}


class ManifestNormalisation(msgspec.Struct, frozen=True):
    """Mean and standard deviation per channel, for pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Manifest(msgspec.Struct, frozen=True):
    """The fields of a manifest that `read` uses. Other fields are ignored."""

    dataset: str | None = None
    class_names: tuple[str, ...] = ()
    normalisation: ManifestNormalisation | None = None
    method: str | None = None
    model: str | None = None
    seed: int | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """Return facts about how the set was made."""
        origin = {"method": self.method, "model": self.model, "seed": self.seed}
        return {name: value for name, value in origin.items() if value is not None}


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or ``images.safetensors`` in the folder ``path``."""
    if path.is_file():
        return [path]
    files = [folder / IMAGES for folder in read_folders(path, dataset)]
    return [file for file in files if file.is_file()][:1]


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read an untrusted set.

    Raises:
        UserError: the file is larger than a submission may be, or as in `load`.
    """
    return load(path, dataset, safe_load.MAX_BYTES)


def load(path: Path, dataset: Dataset, max_bytes: float = math.inf) -> DistilledSet:
    """Load a set. Its images stay memory-mapped unless they must be sorted by class.

    Raises:
        UserError: the file is missing, unreadable or larger than ``max_bytes``, or does not contain
            a set of ``dataset``.
    """
    from benchmark_adapters.distilled import class_major_set

    files = find(path, dataset)
    if not files:
        raise UserError(f"{path}: no {IMAGES}")
    file = files[0]
    manifest_path = file.with_name(MANIFEST)
    safe_load.refuse_link(manifest_path)
    manifest = _read_manifest(manifest_path)
    if manifest.dataset not in (None, dataset.name):
        name = one_line(manifest.dataset, 50)
        raise UserError(f"{manifest_path}: the set is for {name}, not for {dataset.name}")
    images, labels, generated = _map_arrays(file, max_bytes)
    is_float = images.dtype.kind == "f"
    return class_major_set(
        images,
        labels,
        dataset,
        f"{file}:",
        generated,
        manifest.provenance,
        _normalisation(manifest, dataset.channels, manifest_path) if is_float else None,
    )


def read_run(folder: Path) -> DistilledSet:
    """Return the set in a run's folder, as it is stored, without knowing its dataset.

    Raises:
        UserError: a file is missing or unreadable.
    """
    path = folder / MANIFEST
    manifest = _read_manifest(path)
    bare = read_arrays(folder)
    norm = None
    if bare.images.dtype.kind == "f":
        norm = _normalisation(manifest, bare.images.shape[1], path)
    return replace(
        bare,
        class_names=manifest.class_names,
        provenance=manifest.provenance,
        normalisation=norm,
    )


def read_arrays(folder: Path) -> DistilledSet:
    """Return the set in a run's folder without what its manifest says.

    Raises:
        UserError: the images are missing or unreadable.
    """
    import numpy as np

    file = folder / IMAGES
    images, labels, generated = _map_arrays(file)
    if generated is None:
        generated = np.ones(len(labels), bool)
    return DistilledSet(images, labels, (), generated)


def has_manifest(folder: Path, dataset: str) -> bool:
    """Return whether the manifest in a run's folder is whole and belongs to ``dataset``."""
    try:
        manifest = _read_manifest(folder / MANIFEST)
    except UserError:
        return False
    return manifest.dataset == dataset and bool(manifest.class_names)


def write(sets: Sets, folder: Path) -> None:
    """Write ``images.safetensors`` and ``manifest.json`` for each set."""
    for dataset, distilled in sets.values():
        target = write_folder(folder, sets, dataset)
        write_images(distilled, target / IMAGES)
        manifest = {**distilled.provenance, **describe(dataset.name, distilled)}
        (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_images(distilled: DistilledSet, path: Path) -> None:
    """Write ``images`` (uint8) or ``images_float`` (float32), ``labels`` and ``generated``."""
    import numpy as np
    from safetensors.numpy import save_file

    images = "images" if distilled.normalisation is None else "images_float"
    save_file(
        {
            images: np.ascontiguousarray(distilled.images),
            "labels": distilled.labels,
            "generated": distilled.generated,
        },
        path,
    )


def describe(dataset: str, distilled: DistilledSet) -> dict[str, Any]:
    """Return the entries of a manifest that describe the images."""
    norm = distilled.normalisation
    return {
        "dataset": dataset,
        "class_names": distilled.class_names,
        "ipc": distilled.ipc,
        "generated_per_class": distilled.generated_per_class,
        "pixels": "uint8, not normalised" if norm is None else "float32, normalised",
        "normalisation": norm and {"mean": norm[0], "std": norm[1]},
        "images_sha256": distilled.sha256,
    }


def _read_manifest(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(read_bounded(path, MAX_MANIFEST_BYTES), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {one_line(error)}") from None


def _normalisation(manifest: Manifest, channels: int, path: Path) -> Normalisation:
    norm = manifest.normalisation or ManifestNormalisation((), ())
    if (
        len(norm.mean) != channels
        or len(norm.std) != channels
        or not all(0 < value < MAX_STD for value in norm.std)
    ):
        raise UserError(
            f"{path}: images_float needs a normalisation with mean and std for {channels} "
            f"{plural(channels, 'channel')}"
        )
    return norm.mean, norm.std


def _map_arrays(path: Path, max_bytes: float = math.inf) -> tuple[Array, Array, Array | None]:
    """Return memory-mapped images, labels and generated, which is None if it is missing."""
    with safe_load.opened(path, max_bytes) as file, safe_load.one_line_errors(path, "safetensors"):
        start, header = _read_header(file)
        images = "images_float" if "images_float" in header else "images"
        if images not in header or "labels" not in header:
            raise UserError(f"{path}: expected the arrays labels and images or images_float")
        maps = {
            name: _map_array(file, start, name, msgspec.json.decode(header[name], type=_Entry))
            for name in (images, "labels", "generated")
            if name in header
        }
    generated = maps.get("generated")
    if generated is not None and generated.dtype == bool:
        # In numpy, a bool that is neither 0 nor 1 is undefined.
        generated = generated.view("u1") != 0
    return maps[images], maps["labels"], generated


class _Entry(msgspec.Struct):
    """The header's entry of an array. Offsets count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _read_header(file: BinaryIO) -> tuple[int, dict[str, msgspec.Raw]]:
    """Return the length of the header of a safetensors file, and its entries by array name."""
    (size,) = struct.unpack("<Q", file.read(8))
    if size > MAX_HEADER_BYTES:
        raise Refused(f"its header is larger than {MAX_HEADER_BYTES} bytes")
    return 8 + size, msgspec.json.decode(file.read(size), type=dict[str, msgspec.Raw])


def _map_array(file: BinaryIO, start: int, name: str, entry: _Entry) -> Array:
    """Return a copy-on-write memory map of an array in a safetensors file.

    The safetensors library would read the whole array, and large sets do not fit into memory.

    Raises:
        Refused: the array has another type or size than it should have, or is not in the file.
    """
    import numpy as np

    expected = IMAGE_TYPES.get(name, "a type of numpy")
    if entry.dtype not in TYPES or (name in IMAGE_TYPES and entry.dtype != expected):
        raise Refused(f"{name} of type {entry.dtype}, expected {expected}")
    dtype = np.dtype(TYPES[entry.dtype])
    begin, end = entry.data_offsets
    if end - begin != math.prod(entry.shape) * dtype.itemsize or min(entry.shape, default=0) < 0:
        raise Refused(f"{name} has not as many bytes as its shape {list(entry.shape)} says")
    if not 0 <= begin <= end <= os.fstat(file.fileno()).st_size - start:
        raise Refused(f"{name} lies outside the file")
    if begin == end:
        return np.empty(entry.shape, dtype)
    return np.memmap(file, dtype, "c", start + begin, entry.shape)
