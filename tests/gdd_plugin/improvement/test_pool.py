import torch

from gdd_plugin.improvement.pool import Pool

# Two batches that were sampled in turns, and cut short: class 1 has an image less.
LABELS = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])


def make_pool():
    pixels = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1)
    return Pool.of(list(zip(pixels.split(4), LABELS, strict=True)), num_classes=3)


def test_a_pool_is_sorted_by_class_and_balanced():
    pool = make_pool()
    assert pool.per_class == 2
    assert pool.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert pool.pixels.flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_keys_are_those_by_which_the_images_were_sampled():
    pool = make_pool()
    assert [pool.key(index) for index in pool.first(1)] == [(0, 0), (1, 0), (2, 0)]
    assert pool.key(3) == (1, 1)
    replacement = pool.replacement([1, 3, 5])
    assert replacement.images.flatten().tolist() == [3, 4, 5]
    assert replacement.labels.tolist() == [0, 1, 2]
