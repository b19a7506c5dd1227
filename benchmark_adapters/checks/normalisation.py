"""Find out how the float images of a set were made, if not with the right normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from benchmark_adapters.types import Normalisation
from leaderboard.records.record import Finding

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Normalisations in use, for pixels in [0, 1].
KNOWN: dict[str, Normalisation] = {
    "[-1, 1]": ((0.5,), (0.5,)),
    "MNIST": ((0.1307,), (0.3081,)),
    "Fashion-MNIST": ((0.2861,), (0.3530,)),
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "CIFAR-10 (exact deviation)": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
# A pixel in 0..255 counts as a byte if it is this close to an integer, for rounding in float32.
MAX_BYTE_ERROR = 0.01
# Images are odd if more of their values lie outside of the range of pixels, or if neighbouring
# pixels have a lower correlation. It is 0.85 for Fashion-MNIST, and 0.22 for the same images after
# ZCA with a regularisation of 0.1.
MAX_OUTSIDE, MARGIN, MIN_CORRELATION = 0.5, 0.1, 0.3
# Images that are looked at: the first ones.
MAX_IMAGES = 100


def check_normalisation(images: Array, normalisation: Normalisation) -> Iterator[Finding]:
    """Yield an error if all pixels are whole bytes under another known normalisation.

    Args:
        images: float32 [N, C, H, W], which are not whole bytes under the right normalisation.
        normalisation: the right mean and standard deviation per channel.
    """
    sample = images[:MAX_IMAGES].astype(np.float64)
    # A few values can be whole bytes by chance.
    if len(np.unique(sample[:10])) < MAX_IMAGES:
        return
    for name, known in KNOWN.items():
        if known != normalisation and _are_bytes(sample, known):
            yield Finding(
                "error",
                "other-normalisation",
                f"images are normalised as for {name}: with its mean and standard deviation, all "
                "pixels are whole bytes; normalise them with those of the dataset",
            )
            return


def check_values(images: Array, normalisation: Normalisation) -> Iterator[Finding]:
    """Yield warnings for values that are odd, but prove nothing.

    Args:
        images: float32 [N, C, H, W].
        normalisation: the right mean and standard deviation per channel.
    """
    sample = images[:MAX_IMAGES].astype(np.float64)
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in normalisation)
    pixels = sample * std + mean
    outside = float(((pixels < -MARGIN) | (pixels > 1 + MARGIN)).mean())
    if outside > MAX_OUTSIDE:
        yield Finding(
            "warning",
            "outside",
            f"{outside:.0%} of the values lie outside of the range of pixels once the "
            f"normalisation is undone: they range from {pixels.min():.2f} to {pixels.max():.2f} "
            "instead of 0 to 1",
        )
    left, right = sample[..., :-1].ravel(), sample[..., 1:].ravel()
    if min(left.std(), right.std()) == 0:
        return
    correlation = float(np.corrcoef(left, right)[0, 1])
    if correlation < MIN_CORRELATION:
        yield Finding(
            "warning",
            "unrelated-pixels",
            f"neighbouring pixels have a correlation of {correlation:.2f}, where real images "
            "have 0.8 or more: these look whitened (ZCA), or like noise, but students "
            "are tested on images that are neither",
        )


def _are_bytes(images: Array, normalisation: Normalisation) -> bool:
    """Return whether all pixels are whole bytes once a normalisation is undone."""
    mean, std = (np.array(values).reshape(1, -1, 1, 1) for values in normalisation)
    if mean.size not in (1, images.shape[1]):
        return False
    pixels = (images * std + mean) * 255
    rounded = pixels.round()
    is_close = np.abs(pixels - rounded).max() < MAX_BYTE_ERROR
    return bool(is_close and rounded.min() >= 0 and rounded.max() <= 255)
