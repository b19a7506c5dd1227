"""Compile the repeated blocks of a network, and undo it.

Compiling one kind of block, which occurs many times, takes seconds where the whole network takes
minutes, and is about as fast later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from benchmark_adapters.types import one_line


def compile_blocks(network: Any, try_out: Callable[[], object]) -> str:
    """Compile the blocks of ``network``, or all of it if it doesn't name any.

    Args:
        network: a network of diffusers.
        try_out: uses the network, so that a failure shows.

    Returns:
        The reason if compiling failed, otherwise an empty string.
    """
    # This logger warns about missing CUDA on every machine without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    try:
        for module in _regions(network):
            # Without CUDA graphs, which belong to one thread.
            module.compile(dynamic=False)
        try_out()
    except Exception as error:
        # There is no compiler, or it does not support the network.
        uncompile(network)
        return f"failed: {one_line(error, 150)}"
    return ""


def uncompile(network: Any) -> None:
    """Undo `compile_blocks`."""
    for module in network.modules():
        module._compiled_call_impl = None


def _regions(network: Any) -> Iterator[nn.Module]:
    names = getattr(network, "_repeated_blocks", None) or []
    blocks = [module for module in network.modules() if type(module).__name__ in names]
    yield from blocks or [network]
