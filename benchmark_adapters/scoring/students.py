"""Networks to train on distilled sets.

They map float32 [n, channels, image_size, image_size] to logits [n, num_classes] and are designed
for small images. For single-channel images, the first layer pads each side by 2 more pixels, which
turns 28 pixels into 32. `benchmark_adapters.scoring.student_registry` lists the networks.
"""

from collections.abc import Callable

import torch
from torch import nn

from benchmark_adapters.scoring.student_registry import STUDENTS
from benchmark_adapters.types import resolve

DEFAULT_WIDTH = 128


def build(
    name: str, num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return a built-in student, initialised with torch's global generator.

    Args:
        name: name of the student.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.
        channels: number of image channels.
        width: channels per layer, or neurons per layer for the mlp; None: the student's default.

    Returns:
        The network.

    Raises:
        ValueError: the name is unknown, or ``width`` is given for a student of fixed width.
    """
    if name not in STUDENTS:
        raise ValueError(f"unknown student {name!r}; known: {', '.join(STUDENTS)}")
    return resolve(STUDENTS[name].build)(num_classes, image_size, channels, width)


class ConvNet(nn.Module):
    """A network that passes the flattened output of ``features`` to ``classifier``."""

    def __init__(self, features: nn.Sequential, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).flatten(1))


def convnet3(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return the ECCV 2024 evaluator's network: 3 blocks with instance norm."""
    return _convnet(3, _instance_norm, num_classes, image_size, channels, width)


def convnet4(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return convnet3 with a fourth block."""
    return _convnet(4, _instance_norm, num_classes, image_size, channels, width)


def convnet3_bn(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return convnet3 with batch norm."""
    return _convnet(3, nn.BatchNorm2d, num_classes, image_size, channels, width)


def resnet18(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return torchvision's ResNet-18 with a stem for small images: one 3x3 convolution."""
    from torchvision import models

    _refuse_width("resnet18", width)
    net = models.resnet18(num_classes=num_classes)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=_padding(channels, 1), bias=False)
    net.maxpool = nn.Identity()
    return net


def alexnet(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Return the AlexNet from the dataset condensation papers (Zhao et al., arXiv 2006.05929).

    It has five convolutions, three pooling layers and one linear layer.
    """
    _refuse_width("alexnet", width)
    layers: list[nn.Module] = []
    inputs = channels
    blocks = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))
    for block, (outputs, kernel, is_pooled) in enumerate(blocks):
        padding = _padding(channels, kernel // 2) if block == 0 else kernel // 2
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.ReLU()]
        if is_pooled:
            layers.append(nn.MaxPool2d(2))
        inputs = outputs
    size = _size_after_first_layer(image_size, channels) // 8
    return ConvNet(nn.Sequential(*layers), nn.Linear(inputs * size**2, num_classes))


def vgg11(num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """Return torchvision's VGG-11 with batch norm and a single linear layer as its classifier."""
    from torchvision.models import vgg11_bn

    _refuse_width("vgg11", width)
    features = vgg11_bn().features
    features[0] = nn.Conv2d(channels, 64, 3, padding=_padding(channels, 1))
    size = _size_after_first_layer(image_size, channels) // 32
    return ConvNet(features, nn.Linear(512 * size**2, num_classes))


def mlp(num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """Return a network with two hidden layers of ``width`` neurons."""
    width = width or DEFAULT_WIDTH
    hidden = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * image_size**2, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
    )
    return ConvNet(hidden, nn.Linear(width, num_classes))


def _convnet(
    depth: int,
    norm: Callable[[int], nn.Module],
    num_classes: int,
    image_size: int,
    channels: int,
    width: int | None,
) -> nn.Module:
    """Return a network of blocks of convolution, normalisation, ReLU and pooling.

    Args:
        depth: number of blocks.
        norm: returns a normalisation layer for a number of channels.
        num_classes: number of logits.
        image_size: height and width of the images in pixels.
        channels: number of image channels.
        width: channels per layer; None: `DEFAULT_WIDTH`.

    Returns:
        The network.
    """
    width = width or DEFAULT_WIDTH
    layers: list[nn.Module] = []
    inputs, size = channels, image_size
    for block in range(depth):
        padding = _padding(channels, 1) if block == 0 else 1
        size = (size + 2 * padding - 2) // 2
        convolution = nn.Conv2d(inputs, width, 3, padding=padding)
        layers += [convolution, norm(width), nn.ReLU(), nn.AvgPool2d(2)]
        inputs = width
    return ConvNet(nn.Sequential(*layers), nn.Linear(width * size * size, num_classes))


def _instance_norm(width: int) -> nn.Module:
    return nn.GroupNorm(width, width)


def _padding(channels: int, usual: int) -> int:
    return usual + 2 if channels == 1 else usual


def _size_after_first_layer(image_size: int, channels: int) -> int:
    return image_size + 4 if channels == 1 else image_size


def _refuse_width(name: str, width: int | None) -> None:
    if width is not None:
        raise ValueError(f"student {name} has a fixed width; leave the width out")
