"""Print where the time of sampling and of training students goes, for docs/performance.md.

    python experiments/time_shares.py

It takes a minute on one core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from benchmark_adapters import memory
from benchmark_adapters.budget import Budget
from benchmark_adapters.datasets import CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.recipes import ECCV2024
from benchmark_adapters.types import Task
from gdd_plugin import batching, method
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.settings import OPTIONS, parse_settings

# Parts of the names of PyTorch's operations. The first that fits decides.
KINDS = {
    "convolutions": ("conv",),
    "attention": ("attention",),
    "matrix products": ("mm", "linear"),
    "normalisation": ("norm",),
    "activations": ("silu", "gelu", "relu", "sigmoid"),
    "copies": ("copy", "cat", "clone", "contiguous", "pad"),
    "compiled code": ("Compiled", "cpp_fused", "CompiledFunction"),
}
IMAGES, BATCHES = 128, 4


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    # As in the processes of methods.
    memory.keep_freed_memory()
    shares = {"sampling": shares_of(sampling()), "an epoch of 1,000 images": shares_of(epoch())}
    kinds = [*KINDS, "other"]
    rows = [[kind, *(f"{one[kind]:.0f}" for one in shares.values())] for kind in kinds]
    print(tabulate(rows, ["share of the time in %", *shares], tablefmt="github"))


def sampling() -> Callable[[], object]:
    """Return a function that samples images with turbo-mini."""
    options = {option.name: option.default for option in OPTIONS}
    options |= {"preset": "sampled", "pda": "none"}
    count = IMAGES * BATCHES
    task = Task(
        "quickstart", FASHION_MNIST, 0, "cpu", count, options, lambda: None, lambda **values: None
    )
    generator = ImageGenerator(task, parse_settings(options, "fashion-mnist"), count)
    generator.choose_decoder()
    keys = method.image_keys(task, 1 + count // 10)
    batches = list(batching.batches(keys, generator.sizer, Budget(1e9, 1e9)))
    return lambda: [generator.generate(batch) for batch in batches]


def epoch() -> Callable[[], object]:
    """Return a function that trains a compiled student for an epoch, with DSA."""
    torch.manual_seed(0)
    images, labels = torch.randn(1000, 3, 32, 32), torch.arange(1000) % 100
    net = students.build("convnet3", 100, CIFAR100.image_size, CIFAR100.channels)
    return lambda: training.train(net, images, labels, ECCV2024, 0, epochs=0, backend="fast")


def shares_of(work: Callable[[], object]) -> Counter[str]:
    """Return the share of each kind of operation in the second call, in %."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    seconds: Counter[str] = Counter()
    for row in profiled.key_averages():
        kind = next((kind for kind in KINDS if any(name in row.key for name in KINDS[kind])), "")
        seconds[kind or "other"] += row.self_cpu_time_total
    total = sum(seconds.values())
    return Counter({kind: 100 * one / total for kind, one in seconds.items()})


if __name__ == "__main__":
    main()
