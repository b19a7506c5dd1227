"""Registers the method generative-turbo. Imported by every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method, Option
from gdd_plugin.models import BUNDLED, KNOWN
from gdd_plugin.prompts import check_style

if TYPE_CHECKING:
    from benchmark_adapters.budget import Budget
    from benchmark_adapters.types import Round, Task


def _between(low: int, high: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"expected {low} to {high}")

    return check


OPTIONS = (
    Option(
        "model",
        str,
        None,
        f"model folder, hub id, or {', '.join([*BUNDLED, *KNOWN])} (default: turbo-mini for fashion-mnist, sdxl-turbo elsewhere)",
    ),
    Option(
        "lora",
        str,
        None,
        "folder of a LoRA adapter for the model, as `ddbench-turbo adapt` and diffusers write it",
    ),
    Option(
        "preset",
        str,
        "default",
        "published: the paper's prompts and PDA in one word",
        ("default", "published"),
    ),
    Option(
        "prompts",
        str,
        None,
        "name, photo, centered, diverse, bare, or a template with {name} (default: name)",
        check=check_style,
    ),
    Option(
        "pda",
        str,
        None,
        "augmentation after sampling (default: default)",
        ("default", "published", "none"),
    ),
    Option(
        "copies",
        int,
        None,
        "augmented copies of each sampled image (default: 1, with pda=published 4, with pda=none 0)",
        check=_between(0, 100),
    ),
    Option(
        "batch",
        int,
        None,
        "images per forward pass (default: up to 128 on a CPU, large models 4; elsewhere found by trying)",
        check=_between(1, 4096),
    ),
    Option(
        "size",
        int,
        None,
        "height and width of the model's images in pixels (default: the model's own, for SDXL-Turbo 512)",
        check=_between(8, 1024),
    ),
    Option(
        "decoder",
        str,
        "auto",
        "vae: exact; tiny: distilled; fitted: a map fitted during the run",
        ("auto", "vae", "tiny", "fitted"),
    ),
    Option(
        "tiny",
        str,
        None,
        "folder or hub id of the tiny decoder (default: madebyollin/taesdxl or taesd)",
    ),
    Option(
        "dtype",
        str,
        None,
        "of the UNet (default: float32 on a CPU, float16 elsewhere)",
        ("float32", "float16", "bfloat16"),
    ),
    Option(
        "compile",
        str,
        "auto",
        "torch.compile for the UNet (auto: on CUDA, where that takes less than a twentieth of the time)",
        ("auto", "yes", "no"),
    ),
)


@hookimpl
def ddbench_methods() -> list[Method]:
    return [
        Method(
            "generative-turbo",
            distill,
            OPTIONS,
            "one-step text-to-image samples from label prompts, then Post Data Augmentation (Su et al., arXiv 2408.08610)",
            divisible=True,
        )
    ]


def distill(task: Task, budget: Budget) -> Iterator[Round]:
    from gdd_plugin.method import rounds  # imports torch

    yield from rounds(task, budget)
