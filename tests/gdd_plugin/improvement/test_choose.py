import torch

from gdd_plugin.improvement import choose


def accuracies(nets, real, states, labels, steps):
    torch.manual_seed(0)
    return choose.accuracies(nets, real, states, labels, steps, seeds=(0, 1))


def test_a_set_that_teaches_is_better_than_one_of_noise(nets, real, pool):
    images, labels = pool
    noise = torch.randint(0, 256, images.shape, dtype=torch.uint8)
    taught, noisy = accuracies(nets, real, [images, noise], labels, steps=5)
    assert min(taught) > max(noisy)


def test_networks_in_two_threads_are_the_same_each_time(nets, real, pool):
    images, labels = pool
    first, again = (accuracies(nets, real, [images], labels, steps=2) for _ in range(2))
    assert first == again
