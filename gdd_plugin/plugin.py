"""Registers the method generative-turbo. Imported by every command, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method, Option

if TYPE_CHECKING:
    from benchmark_adapters.budget import Budget
    from benchmark_adapters.types import Round, Task

OPTIONS = (
    Option("model", str, None, "model folder, hub id or turbo-mini (default: turbo-mini for fashion-mnist, stabilityai/sdxl-turbo elsewhere)"),
    Option("preset", str, "default", "published: the paper's prompts and PDA in one word", ("default", "published")),
    Option("prompts", str, None, "name, photo, centered, diverse, bare, or a template with {name} (default: name)"),
    Option("pda", str, None, "augmentation after sampling (default: default)", ("default", "published", "none")),
    Option("copies", int, None, "augmented copies of each sampled image (default: default 1, published 4, none 0)"),
    Option("batch", int, None, "images per forward pass (default: 50 on a CPU, 16 elsewhere)"),
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
