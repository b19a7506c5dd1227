from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from gdd_plugin.improvement.pyramid import Pyramid
from gdd_plugin.improvement.refine import Refinement, RefineSettings, settings_for

SMALL = RefineSettings(
    pool=2, life=4, network_steps=2, image_steps=2, real=100, averaging=0.5, warm_up=1
)


def refined(nets, real, pool, visits=4, settings=SMALL):
    torch.manual_seed(0)
    pixels, labels = pool[0][::12], pool[1][::12]
    pyramid = Pyramid(real.normalise(pixels), real.clamp)
    refinement = Refinement(nets, real, pyramid, labels, seed=0, settings=settings)
    for _ in range(visits):
        refinement.visit(visits)
    return pixels, refinement


def test_pixels_change_and_stay_bytes(nets, real, pool):
    start, refinement = refined(nets, real, pool)
    pixels = refinement.pixels()
    assert (pixels.dtype, pixels.shape) == (torch.uint8, start.shape)
    difference = (pixels.float() - start.float()).abs().mean()
    assert 0.5 < difference < 60


def test_a_seed_gives_the_same_pixels_again(nets, real, pool, one_thread):
    assert torch.equal(refined(nets, real, pool)[1].pixels(), refined(nets, real, pool)[1].pixels())


def test_networks_are_replaced_when_their_life_is_over(nets, real, pool):
    _, refinement = refined(nets, real, pool)
    assert (refinement.visits, refinement.steps) == (4, 8)
    assert refinement.lives > 0
    assert all(member.age <= SMALL.life for member in refinement.members)


@pytest.mark.parametrize(
    ("settings", "augment", "versions"),
    [
        (SMALL, "dsa", 2),
        (replace(SMALL, draws=3), "dsa", 4),
        (replace(SMALL, clean=False), "dsa", 1),
        (SMALL, "none", 1),
    ],
)
def test_versions_are_the_images_and_their_augmentations(
    nets, real, pool, settings, augment, versions
):
    nets.recipe = replace(nets.recipe, augment=augment)
    pixels, refinement = refined(nets, real, pool, 0, settings)
    images = refinement._versions(real.normalise(pixels))
    assert len(images) == versions * len(pixels)
    is_clean = torch.equal(images[: len(pixels)], real.normalise(pixels))
    assert is_clean == settings.clean


def test_networks_are_trained_on_batches_of_the_recipe(nets, real, pool):
    nets.recipe = replace(nets.recipe, batch_size=3)
    _, refinement = refined(nets, real, pool, 0)
    batches = refinement._batches(real.normalise(pool[0][::12]))
    assert [(len(images), len(labels)) for images, labels in batches] == [(3, 3), (3, 3)]


def test_pixels_of_eager_networks_do_not_depend_on_the_memory(
    nets, real, pool, one_thread, monkeypatch
):
    # Versions of 10 images fill one part of 20 and half of another.
    settings = replace(SMALL, draws=2)
    expected = refined(nets, real, pool, 1, settings)[1].pixels()
    monkeypatch.setattr(nets, "has_memory_for_activations", lambda images: False)
    recomputed = []
    add_gradient = nets.add_gradient
    monkeypatch.setattr(
        nets, "add_gradient", lambda *args: recomputed.append(1) or add_gradient(*args)
    )
    assert torch.equal(refined(nets, real, pool, 1, settings)[1].pixels(), expected)
    assert recomputed


def test_activations_are_kept_if_they_take_less_than_half_of_the_memory(nets, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=4e9))
    for workers, limit, largest in ((1, None, 2 * 10**6), (2, None, 10**6), (1, 10**9, 500_000)):
        nets._workers, nets._memory_limit = workers, limit
        assert nets.has_memory_for_activations(torch.empty(largest - 1, 3, 1, 1))
        assert not nets.has_memory_for_activations(torch.empty(largest, 3, 1, 1))


def test_settings_depend_on_the_size_of_the_set_and_on_compiling():
    medium = settings_for("pixels", 100, compiled=True)
    assert (medium.clean, medium.draws) == (True, 1)
    large = settings_for("pixels", 500, compiled=True)
    assert not large.clean
    assert large.network_lr < medium.network_lr
    assert large.life > medium.life
    assert settings_for("pixels", 500, compiled=False).life == medium.life
    assert settings_for("pixels", 10, compiled=True).draws > 1
    huge = settings_for("pixels", 5000, compiled=True)
    assert huge.real > large.real
    assert (huge.candidates, large.candidates) == (1, 2)
    quick = settings_for("pixels", 200, compiled=False)
    assert quick.lr > medium.lr
    assert quick.real < medium.real
    assert settings_for("latents", 100, compiled=True).lr > quick.lr
