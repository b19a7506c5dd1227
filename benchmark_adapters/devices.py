"""Torch devices by name."""

from __future__ import annotations

from benchmark_adapters.types import UserError


def resolve(name: str) -> str:
    """A torch device; ``auto`` is the accelerator that torch finds, or the CPU.

    Raises:
        UserError: the device is not here.
    """
    if name == "cpu":
        return name
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name != "auto" and not here[name]:
        raise UserError(f"no {name} device is here; run with --device auto or cpu")
    return name if name != "auto" else "cuda" if here["cuda"] else "mps" if here["mps"] else "cpu"


def facts(device: str) -> dict[str, str | int]:
    """What a record says of the device."""
    if not device.startswith("cuda"):
        return {"device": device}
    import torch

    return {"device": device, "gpu": torch.cuda.get_device_name(), "gpus": torch.cuda.device_count()}
