"""How CUDA computes: repeatable convolutions, in float32 or from operands rounded to TF32.

TF32 keeps 10 of float32's 23 bits of the mantissa. PyTorch rounds the operands of convolutions to
it by default, on GPUs that can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def repeatable(tf32: bool) -> Iterator[None]:
    """Make CUDA choose the same algorithms for equal convolutions, and compute products in float32.

    Args:
        tf32: whether convolutions round their operands to TF32, on GPUs that can. Other products
            never do.
    """
    cudnn: Any = torch.backends.cudnn
    convolutions, products = _switches(tf32)
    settings = [(cudnn, "benchmark", False), (cudnn, "deterministic", True), convolutions, products]
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for owner, name, value in settings:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)


def _switches(tf32: bool) -> tuple[tuple[Any, str, Any], tuple[Any, str, Any]]:
    """Return (owner, attribute, value) for convolutions and for matrix products."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    # PyTorch 2.9 replaced the switches. Reading the old ones fails once a program has used the new.
    if hasattr(cudnn, "conv"):
        name = "fp32_precision"
        return (cudnn.conv, name, "tf32" if tf32 else "ieee"), (matmul, name, "ieee")
    return (cudnn, "allow_tf32", tf32), (matmul, "allow_tf32", False)
