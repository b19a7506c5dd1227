"""The built-in students."""

import pytest
import reference
import torch

from benchmark_adapters.scoring import students
from benchmark_adapters.scoring.student_registry import STUDENTS


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_convnet3_matches_plain_network(channels, size):
    ours, plain = (
        students.build("convnet3", 10, size, channels, width=16),
        reference.convnet3(10, size, channels, width=16),
    )
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(5, channels, size, size)
    torch.testing.assert_close(ours(images), plain(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 100), (3, 64, 200)])
@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_trains_on_every_image_size(name, channels, size, classes):
    net = students.build(name, classes, size, channels)
    images = torch.randn(4, channels, size, size)
    loss = torch.nn.functional.cross_entropy(net(images), torch.arange(4))
    loss.backward()
    assert net(images).shape == (4, classes)
    assert all(
        weights.grad is not None and weights.grad.abs().sum() > 0
        for weights in net.parameters()
        if weights.ndim > 1
    )


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("convnet3", 320_010),  # DC-BENCH's ConvNet for CIFAR-10
        ("resnet18", 11_173_962),  # the usual ResNet-18 for CIFAR-10
        ("vgg11", 9_231_114),  # the usual VGG-11 with batch norm for CIFAR-10
        ("mlp", 411_146),  # 3072 * 128 + 128, 128 * 128 + 128, 128 * 10 + 10
    ],
)
def test_students_have_their_usual_parameter_counts(name, parameters):
    assert (
        sum(weights.numel() for weights in students.build(name, 10, 32, 3).parameters())
        == parameters
    )


def test_convnet4_has_a_fourth_block():
    net = students.build("convnet4", 10, 32, 3, width=8)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.modules()) == 4
    assert net.classifier.in_features == 8 * 2 * 2


def test_convnet3_bn_replaces_instance_norm_with_batch_norm():
    net = students.build("convnet3-bn", 10, 32, 3)
    assert sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules()) == 3
    assert not any(isinstance(layer, torch.nn.GroupNorm) for layer in net.modules())


def test_build_rejects_width_for_student_of_fixed_width():
    with pytest.raises(ValueError, match="student resnet18 has a fixed width"):
        students.build("resnet18", 10, 32, 3, width=8)


def test_convnet3_accepts_grey_images():
    assert students.build("convnet3", 10, 28, 1, width=8)(torch.zeros(2, 1, 28, 28)).shape == (
        2,
        10,
    )


def test_build_rejects_unknown_student():
    with pytest.raises(ValueError, match="known: convnet3"):
        students.build("convnet", 10, 28, 1)
