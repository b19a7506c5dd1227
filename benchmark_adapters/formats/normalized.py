"""Normalised tensors, as other tools store images, to distilled sets and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.types import Dataset, DistilledSet, Normalisation

if TYPE_CHECKING:
    import torch

# How far a pixel in 0..255 may be from a whole number and still be a byte's. Rounding in float32
# leaves 0.0002.
MAX_BYTE_ERROR = 0.01


def to_set(
    images: torch.Tensor,
    labels: torch.Tensor,
    dataset: Dataset,
    normalisation: Normalisation,
    path: Path,
) -> DistilledSet:
    """Return a set of normalised images: uint8 where every pixel is a byte's, else as they are.

    Args:
        images: float32 [n, C, H, W].
        labels: integers [n].
        dataset: the dataset of the images.
        normalisation: mean and standard deviation per channel, for pixels in [0, 1].
        path: the file, for messages and the provenance.

    Raises:
        UserError: images or labels don't fit the dataset.
    """
    import numpy as np
    import torch

    from benchmark_adapters.distilled import as_array, class_major_set

    where = f"{path}:"
    floats = class_major_set(
        np.ascontiguousarray(as_array(images, where)),
        as_array(labels, where),
        dataset,
        where,
        provenance={"file": path.name},
        normalisation=normalisation,
    )
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalisation)
    pixels = (torch.from_numpy(floats.images) * std + mean) * 255
    rounded = pixels.round()
    are_bytes = ((pixels - rounded).abs() < MAX_BYTE_ERROR).all()
    if not are_bytes or rounded.min() < 0 or rounded.max() > 255:
        return floats
    return class_major_set(
        rounded.byte().numpy(), floats.labels, dataset, where, provenance=floats.provenance
    )


def to_tensor(distilled: DistilledSet, normalisation: Normalisation) -> torch.Tensor:
    """Return the images of a set as float32 [n, C, H, W] with ``normalisation``."""
    from benchmark_adapters.scoring.images import images_of

    return images_of(distilled, normalisation)[:]


def own_normalisation(dataset: Dataset) -> Normalisation:
    """Return the dataset's own mean and standard deviation per channel."""
    return dataset.mean, dataset.std
