"""Move values to a device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: str | torch.device) -> Tensor:
    """Return CPU values on ``device``. Copying from pinned memory does not wait for a GPU."""
    if torch.device(device).type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
