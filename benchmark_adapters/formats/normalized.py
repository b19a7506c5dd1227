"""Conversion between distilled sets and the normalised tensors that other tools store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.errors import UserError
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation

if TYPE_CHECKING:
    import torch

    from benchmark_adapters.types import Array

# A pixel in 0..255 counts as a byte if it is this close to an integer. Rounding in float32 causes
# errors of 0.0002.
MAX_BYTE_ERROR = 0.01
# Bytes that are converted at a time.
PIECE = 16 * 2**20


def labels_by_position(images: torch.Tensor, dataset: Dataset, path: Path) -> torch.Tensor:
    """Return the labels of images that are sorted by class, int64 [n].

    Raises:
        UserError: classes can't have the same number of images.
    """
    import torch

    # Images without pixels take no memory, however many they are, but their labels would.
    if images.ndim < 1 or not images.numel() or len(images) % dataset.num_classes:
        raise UserError(
            f"{path}: tensor of shape {list(images.shape)}, expected the same number of images "
            f"for each of {dataset.num_classes} classes"
        )
    return torch.arange(dataset.num_classes).repeat_interleave(len(images) // dataset.num_classes)


def to_set(
    images: torch.Tensor,
    labels: torch.Tensor,
    dataset: Dataset,
    normalisation: Normalisation,
    path: Path,
) -> DistilledSet:
    """Return a distilled set of normalised images.

    Args:
        images: normalised [n, C, H, W], float32 or a type that is converted to it: float16,
            bfloat16 or float64.
        labels: integers [n].
        dataset: the dataset that the images stand for.
        normalisation: mean and standard deviation per channel, for pixels in [0, 1].
        path: the file that the images come from, for messages and the provenance.

    Returns:
        A uint8 set if all pixels are whole numbers in 0..255 once the normalisation is undone,
        else a float32 set with the unchanged images.

    Raises:
        UserError: images or labels do not fit the dataset.
    """
    import numpy as np
    import torch

    from benchmark_adapters.distilled import as_array, class_major_set

    where = f"{path}:"
    if images.dtype in (torch.float16, torch.bfloat16, torch.float64):
        images = images.float()
    if labels.ndim == 2 and labels.is_floating_point():
        raise UserError(
            f"{path}: labels of shape {list(labels.shape)} look like soft labels, but recipes "
            "train with hard labels, integers [n]"
        )
    floats = class_major_set(
        np.ascontiguousarray(as_array(images, where)),
        as_array(labels, where),
        dataset,
        where,
        provenance={"file": path.name},
        normalisation=normalisation,
    )
    pixels = _as_bytes(floats.images, normalisation)
    if pixels is None:
        return floats
    return class_major_set(pixels, floats.labels, dataset, where, provenance=floats.provenance)


def _as_bytes(images: Array, normalisation: Normalisation) -> Array | None:
    """Return the pixels uint8 [n, C, H, W] of normalised images; None: they are no whole numbers.

    Pieces are converted one after another, since copies of all would take several times the memory.
    """
    import numpy as np
    import torch

    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalisation)
    result = np.empty(images.shape, np.uint8)
    step = max(1, PIECE * len(images) // images.nbytes)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        pixels = (torch.from_numpy(images[part]) * std + mean) * 255
        rounded = pixels.round()
        are_bytes = ((pixels - rounded).abs() < MAX_BYTE_ERROR).all()
        if not are_bytes or rounded.min() < 0 or rounded.max() > 255:
            return None
        result[part] = rounded.byte().numpy()
    return result


def to_tensor(distilled: DistilledSet, normalisation: Normalisation) -> torch.Tensor:
    """Return the images of a set as float32 [n, C, H, W], normalised with ``normalisation``."""
    from benchmark_adapters.scoring.images import images_of

    return images_of(distilled, normalisation)[:]


def own_normalisation(dataset: Dataset) -> Normalisation:
    """Return the dataset's own mean and standard deviation per channel."""
    return dataset.mean, dataset.std
