"""The files of a run's folder: ``images.safetensors`` and ``manifest.json``."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import safe_load
from benchmark_adapters.formats.layout import Sets, read_folders, write_folder
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation
from leaderboard.text import plural

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

IMAGES, MANIFEST = "images.safetensors", "manifest.json"
MAX_MANIFEST_BYTES = 2**20
MAX_STD = 1e3
# Name of the images -> their type in a safetensors header, and numpy's name of it.
IMAGE_TYPES = {"images": ("U8", "u1"), "images_float": ("F32", "<f4")}


class ManifestNormalisation(msgspec.Struct, frozen=True):
    """Mean and standard deviation per channel, for pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Manifest(msgspec.Struct, frozen=True):
    """What `read` uses of a manifest; other fields are ignored."""

    dataset: str | None = None
    normalisation: ManifestNormalisation | None = None
    method: str | None = None
    model: str | None = None
    seed: int | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What is known of the making of the set."""
        origin = {"method": self.method, "model": self.model, "seed": self.seed}
        return {name: value for name, value in origin.items() if value is not None}


def find(path: Path, dataset: Dataset) -> list[Path]:
    """Return the file at ``path``, or ``images.safetensors`` in the folder ``path``."""
    if path.is_file():
        return [path]
    files = [folder / IMAGES for folder in read_folders(path, dataset)]
    return [file for file in files if file.is_file()][:1]


def read(path: Path, dataset: Dataset) -> DistilledSet:
    """Read a set that others sent; raises as `load`, and for more bytes than a submission has."""
    safe_load.check_files(find(path, dataset))
    return load(path, dataset)


def load(path: Path, dataset: Dataset) -> DistilledSet:
    """Load a set. Its images stay on disk, memory-mapped, unless they have to be sorted by class.

    Raises:
        UserError: the file is missing, unreadable, or holds something else than a set of
            ``dataset``.
    """
    from benchmark_adapters.distilled import class_major_set

    files = find(path, dataset)
    if not files:
        raise UserError(f"{path}: no {IMAGES}")
    safe_load.check_files(files, max_bytes=math.inf)
    file = files[0]
    manifest_path = file.with_name(MANIFEST)
    manifest = _read_manifest(manifest_path)
    if manifest.dataset not in (None, dataset.name):
        name = one_line(manifest.dataset, 50)
        raise UserError(f"{manifest_path}: the set is of {name}, not of {dataset.name}")
    images, labels, generated = _map_arrays(file)
    is_float = images.dtype.kind == "f"
    return class_major_set(
        images,
        labels,
        dataset,
        f"{file}:",
        generated,
        manifest.provenance,
        _normalisation(manifest, dataset, manifest_path) if is_float else None,
    )


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
    """Return what a manifest says of the images."""
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
    if not path.is_file():
        return Manifest()
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise UserError(f"{path}: more than {MAX_MANIFEST_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: {one_line(error)}") from None


def _normalisation(manifest: Manifest, dataset: Dataset, path: Path) -> Normalisation:
    channels = dataset.channels
    norm = manifest.normalisation or ManifestNormalisation((), ())
    if (
        len(norm.mean) != channels
        or len(norm.std) != channels
        or not all(0 < value < MAX_STD for value in norm.std)
    ):
        raise UserError(
            f"{path}: images_float need a normalisation with mean and std of "
            f"{channels} {plural(channels, 'channel')}"
        )
    return norm.mean, norm.std


def _map_arrays(path: Path) -> tuple[Array, Array, Array | None]:
    """Return images, memory-mapped, labels and generated; the latter is None if it is missing."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
            images = "images_float" if "images_float" in names else "images"
            if images not in names or "labels" not in names:
                raise UserError(f"{path}: expected images or images_float, and labels")
            generated = file.get_tensor("generated") if "generated" in names else None
            return _map_array(path, images), file.get_tensor("labels"), generated
    # The numpy reader raises these for types that numpy doesn't have.
    except (
        OSError,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
        AttributeError,
    ) as error:
        reason = one_line(error, safe_load.MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as safetensors ({reason})") from None


def _map_array(path: Path, name: str) -> Array:
    """Return an array of a safetensors file whose header was checked, copied only on writing.

    The library reads arrays into memory, which is too much for large sets.
    """
    import numpy as np

    with path.open("rb") as file:
        (header_size,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(header_size))[name]
    shape = tuple(entry["shape"])
    expected, dtype = IMAGE_TYPES[name]
    if entry["dtype"] != expected:
        raise UserError(f"{path}: {name} of type {entry['dtype']}, expected {expected}")
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "c", 8 + header_size + entry["data_offsets"][0], shape)
