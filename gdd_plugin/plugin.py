"""Registers the method generative-turbo. Imported by every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method, Option
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
    Option("model", str, None, "model folder, hub id or turbo-mini (default: turbo-mini for fashion-mnist, stabilityai/sdxl-turbo elsewhere)"),
    Option("lora", str, None, "folder of a LoRA adapter for the model, as `ddbench-turbo adapt` and diffusers write it"),
    Option("preset", str, "default", "published: the paper's prompts and PDA in one word", ("default", "published")),
    Option("prompts", str, None, "name, photo, centered, diverse, bare, or a template with {name} (default: name)", check=check_style),
    Option("pda", str, None, "augmentation after sampling (default: default)", ("default", "published", "none")),
    Option("copies", int, None, "augmented copies of each sampled image (default: 1, with pda=published 4, with pda=none 0)", check=_between(0, 100)),
    Option("batch", int, None, "images per forward pass (default: 50 on a CPU, 16 elsewhere)", check=_between(1, 4096)),
)


@hookimpl
def ddbench_methods() -> list[Method]:
    return [
        Method(
            "generative-turbo",
            distill,
            OPTIONS,
            "one-step text-to-image samples from label prompts, then Post Data Augmentation (Su et al., arXiv 2408.08610)",
        )
    ]


def distill(task: Task, budget: Budget) -> Iterator[Round]:
    from gdd_plugin.method import rounds  # imports torch

    yield from rounds(task)
