"""Training at a thousandth of its normal length, shared by several test files.

Tests that need a process run this file as a program: ``small_training.py train DATA OUTPUT`` or
``small_training.py adapt DATA OUTPUT MODEL``.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.training.settings import (
    LoraSettings,
    StageSettings,
    StudentSettings,
    TurboMiniSettings,
)
from gdd_plugin.training.train_lora import train_lora
from gdd_plugin.training.train_turbo_mini import train_turbo_mini

SHORT = StudentSettings(steps=4, classes=2, generated=4, real=8)
SMALL = TurboMiniSettings(
    "fashion-mnist",
    seed=3,
    held_out=200,
    features=StageSettings(4, 16, 2e-3),
    autoencoder=StageSettings(4, 8, 2e-3),
    teacher=StageSettings(4, 16, 1e-3, ema=0.998),
    student=SHORT,
)
SHORTEST = replace(
    SMALL,
    features=StageSettings(3, 16, 2e-3),
    autoencoder=StageSettings(3, 8, 2e-3),
    teacher=StageSettings(3, 16, 1e-3),
)


def lora_settings(model):
    return LoraSettings(
        "fashion-mnist",
        str(model),
        str(model),
        held_out=200,
        rank=2,
        features=StageSettings(4, 16, 2e-3),
        student=SHORT,
    )


def train_small(output, data, save_every=1):
    train_turbo_mini(output, FASHION_MNIST, data, SMALL, save_every)


def adapt_small(output, data, model, save_every=1):
    train_lora(output, FASHION_MNIST, data, lora_settings(model), save_every)


def assert_equal_weights(folder, expected):
    """Assert that all weights of two model folders are equal."""
    weights, expected_weights = (
        {file.parent.name: load_file(file) for file in model.glob("*/*.safetensors")}
        for model in (folder, expected)
    )
    assert weights.keys() == expected_weights.keys()
    for part in weights:
        torch.testing.assert_close(weights[part], expected_weights[part], rtol=0, atol=0)


if __name__ == "__main__":
    kind, data, output, *model = sys.argv[1:]
    if kind == "train":
        train_small(Path(output), Path(data))
    else:
        adapt_small(Path(output), Path(data), *model)
