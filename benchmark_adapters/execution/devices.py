"""Torch devices by name."""

from __future__ import annotations

import os

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


def environments(name: str, processes: int) -> list[dict[str, str]]:
    """Environment variables that give each of several processes a GPU of its own, or its share of the CPU's cores.

    Raises:
        UserError: there are fewer GPUs than processes.
    """
    if processes == 1:
        return [{}]
    if resolve(name) != "cuda":
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        return [{"OMP_NUM_THREADS": str(max(1, cores // processes))}] * processes
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = (
        visible if visible != [""] else [str(number) for number in range(torch.cuda.device_count())]
    )
    if len(gpus) < processes:
        raise UserError(
            f"--processes {processes}: each needs a GPU of its own, and there are {len(gpus)}"
        )
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:processes]]


def facts(device: str) -> dict[str, str | int]:
    """What a record says of the device."""
    if not device.startswith("cuda"):
        return {"device": device}
    import torch

    return {
        "device": device,
        "gpu": torch.cuda.get_device_name(),
        "gpus": torch.cuda.device_count(),
    }
