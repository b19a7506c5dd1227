"""Load the sampler that suits a model."""

from __future__ import annotations

import torch

from benchmark_adapters.types import UserError
from gdd_plugin.models import loading
from gdd_plugin.models.any_pipeline import PipelineSampler
from gdd_plugin.models.backbones import BACKBONES
from gdd_plugin.models.one_step import TurboSampler

Sampler = TurboSampler | PipelineSampler


def load(
    model: str,
    device: str,
    lora: str | None = None,
    size: int | None = None,
    dtype: torch.dtype | None = None,
    steps: int = 1,
) -> Sampler:
    """Load a model and return its sampler.

    Args:
        model: name, folder, file or Hub ID.
        device: torch device.
        lora: folder of a LoRA adapter.
        size: height and width of the model's images in pixels; None: the model's own size.
        dtype: data type of the network that removes the noise; None: the device's default.
        steps: steps from noise to an image.

    Raises:
        UserError: the model or the adapter cannot be found or loaded, the adapter does not fit the
            model, or the model does not support ``size`` or ``steps``.
    """
    located = loading.locate(model)
    kind = loading.pipeline_class(located.folder)
    if kind in BACKBONES:
        return TurboSampler(located, device, lora, size, dtype, steps)
    if lora:
        known = " or a ".join(BACKBONES)
        raise UserError(f"model {model} is a {kind}; adapters need a {known}")
    return PipelineSampler(located, device, size, dtype, steps)
