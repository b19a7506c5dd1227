"""The command ``ddbench doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from benchmark_adapters import console
from benchmark_adapters.types import UserError, one_line

# Memory in GiB that a run with the bundled model needs, and disk in GiB that SDXL-Turbo needs.
MIN_MEMORY, MODEL_DISK = 4.0, 8.0
# Seconds to wait for the Hub.
TIMEOUT = 5.0


@dataclass(frozen=True)
class Diagnosis:
    """The state of one thing.

    Attributes:
        status: ``ok``, ``missing`` for what only some runs need, or ``problem``.
        text: what was found.
        advice: what to do; empty: nothing.
    """

    name: str
    status: Literal["ok", "missing", "problem"]
    text: str
    advice: str = ""


@click.command("doctor")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the real datasets.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@console.DEBUG
def doctor_command(data: Path | None, as_json: bool) -> None:
    """Show what works on this machine, and what to do about the rest.

    Look at versions, devices, memory, disk, the compiler, the Hugging Face Hub, the weights of
    models and the real datasets. Nothing is downloaded.

    Exit codes: 0 if nothing is wrong, 1 if there is a problem.
    """
    found = list(diagnose(data))
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in found], indent=1))
    else:
        width = max(len(diagnosis.name) for diagnosis in found)
        for diagnosis in found:
            advice = f"; {diagnosis.advice}" if diagnosis.advice else ""
            click.echo(f"{diagnosis.status:7}  {diagnosis.name:{width}}  {diagnosis.text}{advice}")
    raise click.exceptions.Exit(any(diagnosis.status == "problem" for diagnosis in found))


def diagnose(data: Path | None = None) -> Iterator[Diagnosis]:
    """Yield the state of everything that runs may need.

    Args:
        data: folder of the real datasets; None: the default places.
    """
    from benchmark_adapters import environment

    versions = environment.versions()
    yield Diagnosis("versions", "ok", ", ".join(f"{name} {at}" for name, at in versions.items()))
    yield _device()
    hardware = environment.hardware()
    yield _memory(float(hardware["memory_gib"]))
    yield _disk()
    yield _compiler()
    yield _hub()
    yield from _models()
    yield from _datasets(data)


def _device() -> Diagnosis:
    from benchmark_adapters.execution import devices

    device = devices.resolve("auto")
    if device == "cpu" and shutil.which("nvidia-smi"):
        return Diagnosis(
            "device",
            "problem",
            "there is an NVIDIA driver, but this PyTorch finds no GPU",
            "install a PyTorch with CUDA that fits the driver (pytorch.org)",
        )
    facts = devices.description(device)
    return Diagnosis("device", "ok", ", ".join(map(str, facts.values())))


def _memory(gib: float) -> Diagnosis:
    text = f"{gib:.1f} GiB"
    if gib < MIN_MEMORY:
        return Diagnosis("memory", "problem", text, f"runs need {MIN_MEMORY:g} GiB")
    return Diagnosis("memory", "ok", text)


def _disk() -> Diagnosis:
    """Look at the disk with the cache of the Hub, which takes the most."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    text = f"{free:.0f} GiB free for models"
    if free < MODEL_DISK:
        advice = f"SDXL-Turbo takes {MODEL_DISK:g} GiB; free some, or set HF_HOME to another disk"
        return Diagnosis("disk", "missing", text, advice)
    return Diagnosis("disk", "ok", text)


def _compiler() -> Diagnosis:
    name = os.environ.get("CXX") or "g++"
    if path := shutil.which(name) or shutil.which("clang++"):
        return Diagnosis("compiler", "ok", Path(path).name)
    advice = "install g++: without it, students train and images are refined at half the speed"
    return Diagnosis("compiler", "missing", "no C++ compiler", advice)


def _hub() -> Diagnosis:
    """Ask the Hub for one known model."""
    from huggingface_hub import HfApi

    from gdd_plugin.models.registry import KNOWN

    try:
        HfApi().model_info(KNOWN["sdxl-turbo"].pipeline, timeout=TIMEOUT)
    except Exception as error:
        # Without internet access, the library raises errors of many kinds.
        advice = "without it, use folders: --option model=DIR"
        return Diagnosis("hub", "missing", f"not reachable ({type(error).__name__})", advice)
    return Diagnosis("hub", "ok", "reachable")


def _models() -> Iterator[Diagnosis]:
    from gdd_plugin.models import hub, registry

    for name in registry.BUNDLED:
        yield Diagnosis(f"model {name}", "ok", "bundled")
    for name, spec in registry.KNOWN.items():
        replaced = ["unet"] if spec.unet else []
        commands = [hub.download_command(spec.pipeline)]
        is_complete = hub.cached_pipeline(spec.pipeline, replaced) is not None
        if spec.unet:
            commands.append(f"hf download {spec.unet.repository} {spec.unet.name}")
            is_complete &= hub.cached_file(spec.unet) is not None
        if is_complete:
            yield Diagnosis(f"model {name}", "ok", f"complete; licence: {spec.licence}")
        else:
            advice = " && ".join(commands)
            yield Diagnosis(f"model {name}", "missing", "not complete on this machine", advice)


def _datasets(data: Path | None) -> Iterator[Diagnosis]:
    from benchmark_adapters import datasets, plugins

    for dataset in plugins.build().datasets.values():
        name = f"dataset {dataset.name}"
        bundled = "a part is bundled; " if dataset.bundled else ""
        try:
            folder = datasets.find(dataset, data)
            datasets.load(dataset, "test", data)
        except UserError as error:
            yield Diagnosis(name, "missing", f"{bundled}{one_line(error)}")
        else:
            yield Diagnosis(name, "ok", f"found in {folder}")
