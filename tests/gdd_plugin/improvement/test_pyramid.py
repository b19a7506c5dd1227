import torch

from gdd_plugin.improvement.pyramid import Pyramid


def test_a_pyramid_starts_as_its_images():
    images = torch.randn(3, 1, 28, 28)
    pyramid = Pyramid(images)
    assert torch.equal(pyramid.images(), images)
    assert [tuple(level.shape[2:]) for level in pyramid.levels] == [(28, 28), (14, 14), (7, 7)]


def test_odd_sizes_have_fewer_levels():
    assert len(Pyramid(torch.zeros(1, 3, 14, 14)).levels) == 2


def test_every_level_gets_gradients():
    pyramid = Pyramid(torch.randn(2, 3, 8, 8))
    pyramid.images().square().sum().backward()
    assert all(level.grad.abs().sum() > 0 for level in pyramid.levels)


def test_project_moves_the_sum_into_the_range():
    pyramid = Pyramid(torch.randn(2, 1, 8, 8))
    with torch.no_grad():
        pyramid.levels[1] += 3
    pyramid.project(lambda images: images.clamp(-1, 1))
    assert pyramid.images().abs().max() <= 1 + 1e-6
