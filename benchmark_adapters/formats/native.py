"""The files of a run's folder: ``images.safetensors`` and ``manifest.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmark_adapters.formats import files
from benchmark_adapters.formats.tensors import Sets
from benchmark_adapters.types import Dataset, DistilledSet, UserError, one_line

IMAGES, MANIFEST = "images.safetensors", "manifest.json"
MOST_MANIFEST = 2**20


def find(path: Path, dataset: Dataset) -> list[Path]:
    if path.is_file():
        return [path]
    return next(
        ([place / IMAGES] for place in (path / dataset.name, path) if (place / IMAGES).is_file()),
        [],
    )


def read(path: Path, dataset: Dataset) -> DistilledSet:
    found = find(path, dataset)
    if not found:
        raise UserError(f"{path}: no {IMAGES}")
    files.bounded(found)
    manifest = _manifest(found[0].with_name(MANIFEST))
    named = manifest.get("dataset", dataset.name)
    if named != dataset.name:
        raise UserError(
            f"{found[0].with_name(MANIFEST)}: the set is of {one_line(named, 50)}, not of {dataset.name}"
        )
    return _set(found[0], dataset, manifest)


def write(sets: Sets, folder: Path) -> None:
    for dataset, distilled in sets.values():
        place = folder if len(sets) == 1 else folder / dataset.name
        place.mkdir(exist_ok=True)
        write_images(distilled, place / IMAGES)
        manifest = {**distilled.provenance, **describe(dataset.name, distilled)}
        (place / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_images(distilled: DistilledSet, path: Path) -> None:
    """``images`` (uint8) or ``images_float`` (float32), ``labels`` and ``generated``."""
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
    """What a manifest says of the images."""
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


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if path.stat().st_size > MOST_MANIFEST:
        raise UserError(f"{path}: more than {MOST_MANIFEST} bytes")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {one_line(error)}") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{path}: expected an object")
    return manifest


def _set(path: Path, dataset: Dataset, manifest: dict[str, Any]) -> DistilledSet:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except (
        OSError,
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
    ) as error:
        raise UserError(f"{path}: not readable as safetensors ({one_line(error, 160)})") from None
    floats = "images_float" in tensors
    images, labels = tensors.get("images_float" if floats else "images"), tensors.get("labels")
    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    if (
        images is None
        or images.dtype != (np.float32 if floats else np.uint8)
        or images.ndim != 4
        or images.shape[1:] != shape
        or not len(images)
    ):
        raise UserError(
            f"{path}: expected images uint8 or images_float float32 [N, {', '.join(map(str, shape))}]"
        )
    if labels is None or labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise UserError(f"{path}: expected labels int64 [{len(images)}]")
    if not 0 <= labels.min() <= labels.max() < dataset.num_classes:
        raise UserError(
            f"{path}: labels from {labels.min()} to {labels.max()}, expected 0 to {dataset.num_classes - 1}"
        )
    generated = tensors.get("generated", np.ones(len(labels), bool))
    if generated.dtype != np.bool_ or generated.shape != labels.shape:
        raise UserError(f"{path}: expected generated bool [{len(images)}]")
    order = np.argsort(labels, kind="stable")
    normalisation = _normalisation(manifest, dataset, path) if floats else None
    known: dict[str, Any] = {
        key: manifest[key] for key in ("method", "model", "seed") if key in manifest
    }
    return DistilledSet(
        images[order],
        labels[order].astype(np.int64),
        dataset.class_names,
        generated[order],
        known,
        normalisation,
    )


def _normalisation(
    manifest: dict[str, Any], dataset: Dataset, path: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    given = manifest.get("normalisation")
    try:
        mean, std = tuple(map(float, given["mean"])), tuple(map(float, given["std"]))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        mean, std = (), ()
    if (
        len(mean) != dataset.channels
        or len(std) != dataset.channels
        or not all(0 < value < 1e3 for value in std)
    ):
        raise UserError(
            f"{path.with_name(MANIFEST)}: images_float need a normalisation with mean and std of {dataset.channels} channel(s)"
        )
    return mean, std
