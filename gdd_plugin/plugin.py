"""Register the method generative-turbo. Every command imports this, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method
from gdd_plugin.settings import OPTIONS

if TYPE_CHECKING:
    from benchmark_adapters.budget import Budget
    from benchmark_adapters.types import Batch, Replacement, Task


@hookimpl
def ddbench_methods() -> list[Method]:
    """Return the method that this plugin provides."""
    return [
        Method(
            "generative-turbo",
            distill,
            OPTIONS,
            "one-step text-to-image samples from label prompts, then Post Data Augmentation "
            "(Su et al., arXiv 2408.08610)",
            divisible=True,
            obstacle=obstacle,
        )
    ]


def distill(task: Task, budget: Budget) -> Iterator[Batch | Replacement]:
    """Generate a distilled set in batches.

    Raises:
        UserError: see `gdd_plugin.method.distill`.
    """
    # Imported here because it imports torch.
    from gdd_plugin import method

    yield from method.distill(task, budget)


def obstacle(options: Mapping[str, Any], ipc: int | None, limit: float) -> str:
    """Return why several processes can't share a set; empty: they can."""
    # Imported here because it imports torch.
    from gdd_plugin import method

    return method.indivisible(options, ipc, limit)
