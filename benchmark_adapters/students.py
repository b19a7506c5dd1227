"""The fixed networks that are trained on distilled sets."""

import torch
from torch import nn

WIDTH = 128


def build(name: str, num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """An initialised student (torch's global generator): float32 [n, channels, image_size, image_size] to logits.

    Raises:
        ValueError: no student has this name.
    """
    if name not in STUDENTS:
        raise ValueError(f"unknown student {name!r}; known: {', '.join(STUDENTS)}")
    return STUDENTS[name](num_classes, image_size, channels, width)


def convnet3(num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """The challenge's ConvNet (ECCV 2024 evaluator, depth 3): 504,420 parameters for 32 px and 100 classes."""
    width = width or WIDTH
    layers: list[nn.Module] = []
    inputs, size = channels, image_size
    for block in range(3):
        # Grey images get a border in the first layer, so that 28 px become 32.
        padding = 3 if block == 0 and channels == 1 else 1
        size = (size + 2 * padding - 2) // 2
        layers += [nn.Conv2d(inputs, width, 3, padding=padding), nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2)]
        inputs = width
    return ConvNet(nn.Sequential(*layers), nn.Linear(width * size * size, num_classes))


class ConvNet(nn.Module):
    """``features``, flattened, then ``classifier``."""

    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).flatten(1))


STUDENTS = {"convnet3": convnet3}
