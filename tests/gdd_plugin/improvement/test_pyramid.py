import torch

from gdd_plugin.improvement.pyramid import Pyramid


def make_pyramid(images):
    return Pyramid(images, lambda images: images.clamp(-1, 1))


def test_a_pyramid_starts_as_its_images():
    images = torch.randn(3, 1, 28, 28)
    pyramid = make_pyramid(images)
    assert torch.equal(pyramid.render(pyramid.tensors), images)
    assert [tuple(level.shape[2:]) for level in pyramid.tensors] == [(28, 28), (14, 14), (7, 7)]


def test_odd_sizes_have_fewer_levels():
    assert len(make_pyramid(torch.zeros(1, 3, 14, 14)).tensors) == 2


def test_every_level_gets_gradients():
    pyramid = make_pyramid(torch.randn(2, 3, 8, 8))
    pyramid.render(pyramid.tensors).square().sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in pyramid.tensors)


def test_project_moves_the_sum_into_the_range():
    pyramid = make_pyramid(torch.randn(2, 1, 8, 8))
    with torch.no_grad():
        pyramid.tensors[1] += 3
    pyramid.project(pyramid.tensors)
    assert pyramid.render(pyramid.tensors).abs().max() <= 1 + 1e-6
