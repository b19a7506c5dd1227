"""The fixed networks that are trained on distilled sets: float32 [n, channels, image_size, image_size] to logits [n, classes].

All take small images; those of one channel get a border of 2 pixels in the first layer, so that 28 pixels become 32.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

WIDTH = 128
Build = Callable[[int, int, int, int | None], nn.Module]


def build(
    name: str, num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """An initialised student (torch's global generator): float32 [n, channels, image_size, image_size] to logits.

    Raises:
        ValueError: no student has this name, or its width can't be chosen.
    """
    if name not in STUDENTS:
        raise ValueError(f"unknown student {name!r}; known: {', '.join(STUDENTS)}")
    return STUDENTS[name](num_classes, image_size, channels, width)


def _convnet(
    depth: int,
    norm: Callable[[int], nn.Module],
    num_classes: int,
    image_size: int,
    channels: int,
    width: int | None = None,
) -> nn.Module:
    """``depth`` blocks of convolution, normalisation, ReLU and pooling; with depth 3 the ECCV 2024 evaluator's."""
    width = width or WIDTH
    layers: list[nn.Module] = []
    inputs, size = channels, image_size
    for block in range(depth):
        padding = _padding(channels, 1) if block == 0 else 1
        size = (size + 2 * padding - 2) // 2
        layers += [
            nn.Conv2d(inputs, width, 3, padding=padding),
            norm(width),
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
        inputs = width
    return ConvNet(nn.Sequential(*layers), nn.Linear(width * size * size, num_classes))


def _padding(channels: int, usual: int) -> int:
    return usual + 2 if channels == 1 else usual


def _instance_norm(width: int) -> nn.Module:
    return nn.GroupNorm(width, width)


class ConvNet(nn.Module):
    """``features``, flattened, then ``classifier``."""

    def __init__(self, features: nn.Sequential, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).flatten(1))


def _resnet18(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """Torchvision's ResNet-18 with the stem for small images: one 3x3 convolution of stride 1, no pooling."""
    from torchvision.models import resnet18

    _check_width("resnet18", width)
    net = resnet18(num_classes=num_classes)
    net.conv1 = nn.Conv2d(channels, 64, 3, padding=_padding(channels, 1), bias=False)
    net.maxpool = nn.Identity()
    return net


def _alexnet(
    num_classes: int, image_size: int, channels: int, width: int | None = None
) -> nn.Module:
    """The small AlexNet of the dataset condensation papers (Zhao et al., arXiv 2006.05929): five convolutions, three poolings, one linear layer."""
    _check_width("alexnet", width)
    layers: list[nn.Module] = []
    inputs = channels
    for block, (outputs, kernel, pooled) in enumerate(
        ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))
    ):
        padding = _padding(channels, kernel // 2) if block == 0 else kernel // 2
        layers += [
            nn.Conv2d(inputs, outputs, kernel, padding=padding),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if pooled else []),
        ]
        inputs = outputs
    return ConvNet(
        nn.Sequential(*layers),
        nn.Linear(inputs * (_inner(image_size, channels) // 8) ** 2, num_classes),
    )


def _vgg11(num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """Torchvision's VGG-11 with batch normalisation, and one linear layer for a classifier, as small images have."""
    from torchvision.models import vgg11_bn

    _check_width("vgg11", width)
    features = vgg11_bn().features
    features[0] = nn.Conv2d(channels, 64, 3, padding=_padding(channels, 1))
    return ConvNet(
        features, nn.Linear(512 * (_inner(image_size, channels) // 32) ** 2, num_classes)
    )


def _mlp(num_classes: int, image_size: int, channels: int, width: int | None = None) -> nn.Module:
    """Two hidden layers of ``width``."""
    width = width or WIDTH
    hidden = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * image_size**2, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
    )
    return ConvNet(hidden, nn.Linear(width, num_classes))


def _inner(image_size: int, channels: int) -> int:
    """Side after the first convolution."""
    return image_size + 4 if channels == 1 else image_size


def _check_width(name: str, width: int | None) -> None:
    if width is not None:
        raise ValueError(f"student {name} has no width to choose")


convnet3: Build = partial(_convnet, 3, _instance_norm)
STUDENTS: dict[str, Build] = {
    "convnet3": convnet3,
    "convnet4": partial(_convnet, 4, _instance_norm),
    "convnet3-bn": partial(_convnet, 3, nn.BatchNorm2d),
    "resnet18": _resnet18,
    "alexnet": _alexnet,
    "vgg11": _vgg11,
    "mlp": _mlp,
}
