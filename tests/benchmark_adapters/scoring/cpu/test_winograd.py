"""Compare Winograd convolutions with direct ones in float64."""

import pytest
import torch
from torch import nn

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import students
from benchmark_adapters.scoring.cpu import winograd
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.scoring.student_registry import STUDENTS

PAD = {"padding": 1}


def assert_agrees(layer, images, of_images=True):
    """Assert that results and gradients differ by at most 1e-5 of their largest value.

    The gradients are those of the weights and, if ``of_images``, those of the images.
    """
    exact = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    )
    exact = exact.double()
    exact.load_state_dict({"bias": torch.zeros(layer.out_channels), **layer.state_dict()})
    for value, expected in zip(
        with_gradients(layer, images, winograd.convolve, of_images),
        with_gradients(exact, images.double(), type(exact).__call__, of_images),
        strict=True,
    ):
        assert (value - expected).abs().max() <= 1e-5 * expected.abs().max()


def with_gradients(layer, images, convolve, of_images):
    images = images.clone().requires_grad_(of_images)
    result = convolve(layer, images)
    sources = [layer.weight, *([images] if images.requires_grad else [])]
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(0)).to(result)
    return result, *torch.autograd.grad(result, sources, direction)


@pytest.mark.parametrize(
    ("inputs", "outputs", "height", "width"), [(8, 16, 4, 4), (24, 8, 16, 16), (32, 32, 8, 20)]
)
def test_convolve_matches_direct_convolution_of_whole_tiles(inputs, outputs, height, width):
    torch.manual_seed(0)
    assert_agrees(nn.Conv2d(inputs, outputs, 3, padding=1), torch.randn(3, inputs, height, width))


def test_convolve_matches_direct_convolution_without_onednn(monkeypatch):
    """PyTorch has no oneDNN on some computers, which is simulated here."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    torch.manual_seed(0)
    assert_agrees(nn.Conv2d(8, 16, 3, padding=1), torch.randn(3, 8, 8, 8))


@pytest.mark.parametrize("padding", [0, 1, 3, (1, 2)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("of_images", [False, True])
def test_convolve_matches_direct_convolution_of_real_images(channels, padding, of_images):
    """Use real images of clothes, in grey and in false colours."""
    images, _ = datasets.load(FASHION_MNIST, "test", bundled=True)
    torch.manual_seed(0)
    pictures = normalise(images[:12], FASHION_MNIST).reshape(-1, channels, 28, 28)
    assert_agrees(nn.Conv2d(channels, 16, 3, padding=padding), pictures, of_images)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"bias": False, **PAD},
        {"stride": 2, **PAD},
        {"dilation": 2, **PAD},
        {"groups": 4, **PAD},
        {"padding": "same"},
    ],
)
@pytest.mark.parametrize("size", [8, 9])
def test_convolve_matches_direct_convolution_for_other_settings(how, size):
    torch.manual_seed(0)
    assert_agrees(nn.Conv2d(8, 8, 3, **how), torch.randn(2, 8, size, size))


def test_convolve_calls_unsupported_layers_directly():
    torch.manual_seed(0)
    layer, images = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), torch.randn(2, 8, 8, 8)
    assert torch.equal(winograd.convolve(layer, images), layer(images))
    wide = nn.Conv2d(8, 8, 5, padding=2)
    assert torch.equal(winograd.convolve(wide, images), wide(images))


def test_logits_match_student(monkeypatch):
    layers = []

    def convolve(layer, images):
        layers.append(layer)
        return layer(images)

    monkeypatch.setattr(winograd, "convolve", convolve)
    torch.manual_seed(0)
    student, images = students.build("convnet3", 10, 28, 1, width=8), torch.randn(4, 1, 28, 28)
    assert torch.equal(winograd.logits(student, images), student(images))
    assert layers == [student.features[0], student.features[4], student.features[8]]


def test_is_faster_only_for_stacks_with_convolutions():
    networks = {name: students.build(name, 10, 32, 3) for name in STUDENTS}
    assert {name for name, net in networks.items() if not winograd.is_faster(net)} == {
        "resnet18",
        "mlp",
    }
