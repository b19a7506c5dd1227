"""Kernel ridge regression from the features of a distilled set to one-hot labels.

The regression is that of Nguyen et al. (arXiv 2107.13034, eq. 3), on the features of networks as in
Zhou et al. (arXiv 2206.00719).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def targets(labels: Tensor, num_classes: int) -> Tensor:
    """Return one-hot labels whose mean over the classes is 0, float32 [n, classes]."""
    return F.one_hot(labels, num_classes).float() - 1 / num_classes


def predict(features: Tensor, labels: Tensor, real: Tensor, ridge: float) -> Tensor:
    """Fit the regression to a set and return its predictions for real images.

    Args:
        features: features of the set, float32 [n, d]; gradients flow to them.
        labels: targets of the set, float32 [n, classes].
        real: features of the real images, float32 [m, d].
        ridge: regularisation as a fraction of the kernel's mean diagonal.

    Returns:
        Predicted targets, float32 [m, classes].
    """
    centre = features.mean(0)
    centred = features - centre
    penalty = ridge * centred.square().sum(1).mean()
    count, size = centred.shape
    identity = torch.eye(min(count, size), device=features.device)
    # Both forms give the same weights. The smaller matrix is solved.
    if count <= size:
        kernel = centred @ centred.t() + penalty * identity
        weights = centred.t() @ torch.linalg.solve(kernel, labels)
    else:
        covariance = centred.t() @ centred + penalty * identity
        weights = torch.linalg.solve(covariance, centred.t() @ labels)
    return (real - centre) @ weights
