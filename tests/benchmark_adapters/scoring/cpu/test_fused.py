"""Microbatches."""

import pytest
import torch

from benchmark_adapters.scoring import students
from benchmark_adapters.scoring.cpu import fused
from benchmark_adapters.scoring.student_registry import STUDENTS


def test_is_batch_independent_only_for_known_layers():
    networks = {name: students.build(name, 10, 32, 3) for name in STUDENTS}
    dependent = {name for name, net in networks.items() if not fused.is_batch_independent(net)}
    assert dependent == {"convnet3-bn", "resnet18", "vgg11"}


def test_is_faster_only_with_convolutions():
    assert not fused.is_faster(students.build("mlp", 10, 32, 3))
    assert fused.is_faster(students.build("convnet3", 10, 32, 3))


@pytest.mark.parametrize(
    ("batch_size", "size"), [(10, 10), (16, 16), (43, 15), (64, 16), (100, 17), (256, 16)]
)
def test_compiled_microbatch_size_divides_batch_evenly(batch_size, size):
    assert fused.compiled_microbatch_size(batch_size) == size


def test_last_microbatch_is_padded_with_ignored_images():
    images, labels = torch.randn(10, 1, 4, 4), torch.arange(10)
    parts = list(fused.microbatches(images, labels, 4))
    assert [tuple(part.shape) for part, _ in parts] == [(4, 1, 4, 4)] * 3
    classes = torch.cat([classes for _, classes in parts])
    assert classes.tolist() == [*range(10), fused.IGNORED_LABEL, fused.IGNORED_LABEL]
    assert torch.equal(torch.cat([part for part, _ in parts])[:10], images)
    ((whole, _),) = fused.microbatches(images, labels, 10)
    assert whole.equal(images)
