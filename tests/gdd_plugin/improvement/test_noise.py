import numpy as np
import torch
from sampling import make_task

from gdd_plugin.generator import ImageGenerator
from gdd_plugin.improvement.noise import Noise, renderer
from gdd_plugin.settings import parse_settings

KEYS = [(label, index) for label in range(10) for index in range(2)]


def make_generator(task):
    return ImageGenerator(task, parse_settings(task.options, task.dataset.name), len(KEYS))


def test_noise_renders_the_images_that_were_sampled_from_it():
    generator = make_generator(make_task(pda="none"))
    images, _, _ = generator.generate(KEYS)
    noise, render = renderer(generator, KEYS)
    with torch.no_grad():
        rendered = render(noise).round()
    assert np.abs(rendered.numpy() - images.numpy().astype(int)).max() <= 1


def test_gradients_reach_the_noise_of_every_image():
    noise, render = renderer(make_generator(make_task(pda="none")), KEYS)
    parameters = Noise(noise, render)
    parameters.render(parameters.tensors).square().mean().backward()
    assert (parameters.tensors[0].grad.flatten(1).norm(dim=1) > 0).all()


def test_projected_noise_has_the_norm_that_it_had_at_first():
    noise = torch.randn(3, 4, 8, 8)
    parameters = Noise(noise, lambda noise: noise)
    with torch.no_grad():
        parameters.tensors[0] *= torch.tensor([1.0, 2.0, 0.5])[:, None, None, None]
    parameters.project(parameters.tensors)
    torch.testing.assert_close(parameters.tensors[0].detach(), noise)
