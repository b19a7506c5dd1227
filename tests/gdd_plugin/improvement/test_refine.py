import torch

from gdd_plugin.improvement.refine import Refinement, RefineSettings

SMALL = RefineSettings(
    pool=2, life=4, network_steps=2, image_steps=2, real=100, averaging=0.5, warm_up=1
)


def refined(nets, real, pool, visits=4):
    torch.manual_seed(0)
    start = pool[0][::12], pool[1][::12]
    refinement = Refinement(nets, real, *start, seed=0, settings=SMALL)
    for _ in range(visits):
        refinement.visit(visits)
    return start[0], refinement


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
