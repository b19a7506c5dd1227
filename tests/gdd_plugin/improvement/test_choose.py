import torch

from gdd_plugin.improvement import choose


def accuracies(nets, real, states, labels, steps):
    torch.manual_seed(0)
    rates = ((0.05, steps // 2), (0.005, steps - steps // 2))
    return choose.accuracies(nets, real, states, labels, rates, seeds=(0, 1))


def test_a_set_that_teaches_is_better_than_one_of_noise(nets, real, pool):
    images, labels = pool
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8)
    taught, noisy = accuracies(nets, real, [images, noise], labels, steps=5)
    assert min(taught) > max(noisy)


def test_networks_in_two_threads_are_the_same_each_time(nets, real, pool):
    images, labels = pool
    first, again = (accuracies(nets, real, [images], labels, steps=2) for _ in range(2))
    assert first == again


def test_networks_learn_with_each_rate_in_turn(nets, real, pool):
    """Without the steps of the first rate, a rate of 0 leaves networks as they were built."""
    images, labels = pool
    taught, untaught = (
        choose.accuracies(nets, real, [images], labels, rates, seeds=(0,))[0][0]
        for rates in (((0.05, 5), (0.0, 1)), ((0.0, 6),))
    )
    assert taught > untaught
