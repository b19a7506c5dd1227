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
    with contextlib.ExitStack() as restored:
        for owner, name, value in (
            (cudnn, "benchmark", False),
            (cudnn, "deterministic", True),
            _convolutions(tf32),
        ):
            restored.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        restored.enter_context(_exact_products())
        yield


def _convolutions(tf32: bool) -> tuple[Any, str, Any]:
    """Return (owner, attribute, value) of the switch for convolutions."""
    cudnn: Any = torch.backends.cudnn
    # PyTorch 2.9 replaced the switches. Reading an old one fails once a program has used a new one.
    if hasattr(cudnn, "conv"):
        return cudnn.conv, "fp32_precision", "tf32" if tf32 else "ieee"
    return cudnn, "allow_tf32", tf32


@contextlib.contextmanager
def _exact_products() -> Iterator[None]:
    """Compute matrix products in float32.

    The old switch sets the new one too. Products fail if the two contradict each other.
    """
    matmul: Any = torch.backends.cuda.matmul
    new = getattr(matmul, "fp32_precision", None)
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = None
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if old is not None:
            torch.set_float32_matmul_precision(old)
        if new is not None:
            matmul.fp32_precision = new
