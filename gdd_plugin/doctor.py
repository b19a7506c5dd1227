"""The command ``ddbench doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from benchmark_adapters import console, plugins
from benchmark_adapters.cli import options
from benchmark_adapters.types import one_line

# Memory in GiB that a run with the bundled model needs, and disk in GiB that SDXL-Turbo needs.
MIN_MEMORY, MODEL_DISK = 4.0, 7.0
# Seconds to wait for the Hub.
TIMEOUT = 5.0
# Characters of the longest name.
WIDTH = 22


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
@options.DATA
@options.JSON
@console.DEBUG
def doctor_command(data: Path | None, as_json: bool) -> None:
    """Show what works on this machine, and what to do about the rest.

    Look at versions, devices, memory, control groups, disk, the compiler, the Hugging Face Hub,
    plugins, the weights of models and the real datasets. Nothing is downloaded.

    Exit codes: 0 if nothing is wrong, 1 if there is a problem.
    """
    found = []
    for diagnosis in diagnose(data):
        found.append(diagnosis)
        if not as_json:
            advice = f"; {diagnosis.advice}" if diagnosis.advice else ""
            click.echo(f"{diagnosis.status:7}  {diagnosis.name:{WIDTH}}  {diagnosis.text}{advice}")
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in found], indent=1))
    raise click.exceptions.Exit(any(diagnosis.status == "problem" for diagnosis in found))


def diagnose(data: Path | None = None) -> Iterator[Diagnosis]:
    """Yield the state of everything that runs may need.

    Args:
        data: folder of the real datasets; None: the default places.
    """
    parts: dict[str, Callable[[], Iterable[Diagnosis]]] = {
        "versions": _versions,
        "device": _device,
        "memory": _memory,
        "control group": _control_group,
        "disk": _disk,
        "compiler": _compiler,
        "hub": _hub,
        "plugins": _plugins,
        "models": _models,
        "datasets": lambda: _datasets(data),
    }
    for name, part in parts.items():
        try:
            yield from part()
        # A broken installation can fail in any way, and the other parts must be shown.
        except Exception as error:
            yield Diagnosis(name, "problem", one_line(f"{type(error).__name__}: {error}", 200))


def _versions() -> Iterator[Diagnosis]:
    from benchmark_adapters import environment

    versions = environment.versions()
    yield Diagnosis("versions", "ok", ", ".join(f"{name} {at}" for name, at in versions.items()))


def _device() -> Iterator[Diagnosis]:
    from benchmark_adapters.execution import devices

    device = devices.resolve("auto")
    if device != "cpu" or not devices.has_nvidia_driver():
        facts = devices.description(device)
        yield Diagnosis("device", "ok", ", ".join(map(str, facts.values())))
    elif os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        advice = "unset CUDA_VISIBLE_DEVICES to use a GPU"
        yield Diagnosis("device", "missing", "cpu; CUDA_VISIBLE_DEVICES names no GPU", advice)
    else:
        yield Diagnosis(
            "device",
            "problem",
            "there is an NVIDIA driver, but this PyTorch finds no GPU",
            "install a PyTorch with CUDA that fits the driver (pytorch.org)",
        )


def _memory() -> Iterator[Diagnosis]:
    import psutil

    gib = psutil.virtual_memory().total / 2**30
    is_enough = gib >= MIN_MEMORY
    advice = "" if is_enough else f"runs need {MIN_MEMORY:g} GiB"
    yield Diagnosis("memory", "ok" if is_enough else "problem", f"{gib:.1f} GiB", advice)


def _control_group() -> Iterator[Diagnosis]:
    """Look whether the kernel can bound what the processes of a method use."""
    from benchmark_adapters.execution import cgroup

    try:
        place = cgroup.place()
    except cgroup.NoGroup as error:
        advice = "without one, a method can exceed its bounds for a moment (docs/reliability.md)"
        if shutil.which("systemd-run"):
            advice += "; `systemd-run --user --scope ddbench run ...` may get one"
        yield Diagnosis("control group", "missing", str(error), advice)
    else:
        yield Diagnosis("control group", "ok", f"methods run in one, in {place}")


def _disk() -> Iterator[Diagnosis]:
    """Look at the disk that holds the Hub's cache, which needs the most space."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 2**30
    text = f"{free:.0f} GiB free for models"
    if free >= MODEL_DISK:
        yield Diagnosis("disk", "ok", text)
        return
    advice = f"SDXL-Turbo takes {MODEL_DISK:g} GiB; free some, or set HF_HOME to another disk"
    yield Diagnosis("disk", "missing", text, advice)


def _compiler() -> Iterator[Diagnosis]:
    """Look for the compiler that torch.compile uses."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name):
        yield Diagnosis("compiler", "ok", Path(name).name)
        return
    advice = f"install {name}: without it, students train and images are refined more slowly"
    yield Diagnosis("compiler", "missing", "no C++ compiler", advice)


def _hub() -> Iterator[Diagnosis]:
    """Ask the Hub for one known model."""
    from huggingface_hub import HfApi

    from gdd_plugin.models.registry import KNOWN

    try:
        HfApi().model_info(KNOWN["sdxl-turbo"].pipeline, timeout=TIMEOUT)
    except Exception as error:
        # Without internet access, the library raises errors of many kinds.
        advice = "without it, use folders: --option model=DIR"
        yield Diagnosis("hub", "missing", f"not reachable ({type(error).__name__})", advice)
    else:
        yield Diagnosis("hub", "ok", "reachable")


def _plugins() -> Iterator[Diagnosis]:
    from benchmark_adapters.execution import discovery

    installed = discovery.installed()
    for line in installed.skipped:
        yield Diagnosis("plugins", "problem", line)
    if not installed.skipped:
        names = {description.plugin for description in installed.descriptions}
        yield Diagnosis("plugins", "ok", ", ".join(sorted(names)))


def _models() -> Iterator[Diagnosis]:
    from gdd_plugin.models import hub, registry

    for name in registry.BUNDLED:
        yield Diagnosis(f"model {name}", "ok", "bundled")
    for name, spec in registry.KNOWN.items():
        replaced = ["unet"] if spec.unet else []
        commands = [hub.download_command(spec.pipeline, replaced)]
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
    from benchmark_adapters import datasets

    for dataset in plugins.build().datasets.usable():
        name = f"dataset {dataset.name}"
        bundled = "a part is bundled; " if dataset.bundled else ""
        try:
            folder = datasets.find(dataset, data)
            datasets.load(dataset, "test", data)
        # The reader of a plugin may raise anything.
        except Exception as error:
            yield Diagnosis(name, "missing", f"{bundled}{one_line(error)}")
        else:
            yield Diagnosis(name, "ok", f"found in {folder}")
