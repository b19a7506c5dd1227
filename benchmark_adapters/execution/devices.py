"""Choose and describe torch devices."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmark_adapters import environment
from benchmark_adapters.types import UserError


def resolve(name: str) -> str:
    """Return the name of a torch device; ``auto`` is the accelerator that torch finds, or the CPU.

    Raises:
        UserError: the device is not available.
    """
    if name == "cpu":
        return name
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next((device for device, found in available.items() if found), "cpu")
    if not available[name]:
        raise UserError(f"no {name} device is available; run with --device auto or cpu")
    return name


def environments(name: str, processes: int) -> list[dict[str, str]]:
    """Return the environment variables for each of several processes.

    Each process gets its own GPU, or an equal share of the CPU cores.

    Raises:
        UserError: the device is not available, or there are fewer GPUs than processes.
    """
    if processes == 1:
        return [{}]
    if resolve(name) != "cuda":
        return [
            {"OMP_NUM_THREADS": str(max(1, environment.usable_cores() // processes))}
        ] * processes
    gpus = _visible_gpus()
    if len(gpus) < processes:
        raise UserError(
            f"--processes {processes}: each process needs its own GPU; available: {len(gpus)}"
        )
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:processes]]


def scoring_environments(name: str, tasks: int) -> list[dict[str, str]]:
    """Return the environment variables for each process that trains students.

    Each process gets its own GPU, and there are no more of them than ``tasks``. On other devices,
    there is one process, which uses all CPU cores.

    Raises:
        UserError: the device is not available.
    """
    # Importing torch is slow, so it is done only where there may be GPUs.
    if name in ("cpu", "mps") or tasks < 2 or not has_nvidia_driver():
        return [{}]
    gpus = _visible_gpus() if resolve(name) == "cuda" else []
    return [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus[:tasks]] or [{}]


def has_nvidia_driver() -> bool:
    """Return whether an NVIDIA driver seems to be installed, without importing torch."""
    return bool(shutil.which("nvidia-smi")) or Path("/dev/nvidiactl").exists()


def _visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    every = [str(number) for number in range(torch.cuda.device_count())]
    return every if visible == [""] else visible


def description(device: str) -> dict[str, str | int]:
    """Return the description of the device for the record."""
    if not device.startswith("cuda"):
        return {"device": device}
    import torch

    return {
        "device": device,
        "gpu": torch.cuda.get_device_name(),
        "gpus": torch.cuda.device_count(),
    }
