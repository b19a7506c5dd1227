"""The training loop.

It is compared with numbers from the official evaluator in test_official_numbers.py.
"""

from dataclasses import replace

import pytest
import torch

from benchmark_adapters import datasets
from benchmark_adapters.scoring import dsa, students, training
from benchmark_adapters.scoring.recipes import DDRANKING_HARD, ECCV2024, QUICKSTART, RECIPES


@pytest.mark.parametrize(
    ("resets_optimizer", "rates"),
    [(True, [1, 1, 1, 1, 1, 0.1, 0.1]), (False, [1, 1, 1, 0.1, 0.1, 0.1])],
)
def test_epochs_argument_matches_official_evaluator(resets_optimizer, rates, clothes, monkeypatch):
    recipe = replace(ECCV2024, reset_optimizer=resets_optimizer, lr=1.0)
    seen, had_momentum = watch_sgd(monkeypatch)
    net = students.build("convnet3", 10, 28, 1, width=8)
    training.train(net, clothes[0][:20], clothes[1][:20], recipe, 0, epochs=6)
    assert seen == pytest.approx(rates)
    drop = rates.index(0.1)
    assert had_momentum == [False] + [
        step != drop or not resets_optimizer for step in range(1, len(rates))
    ]


def test_step_recipe_follows_its_fields(clothes, monkeypatch):
    recipe = replace(DDRANKING_HARD, epochs=4, lr_drop_after=0, lr=1.0)
    seen, had_momentum = watch_sgd(monkeypatch)
    net = students.build("convnet3", 10, 28, 1, width=8)
    training.train(net, clothes[0][:20], clothes[1][:20], recipe, 0)
    assert seen == pytest.approx([1, 0.1, 0.1, 0.1])
    assert had_momentum == [False, True, True, True]
    assert (ECCV2024.epochs, ECCV2024.lr_drop_after, ECCV2024.reset_optimizer) == (1001, 501, True)


@pytest.mark.parametrize(("images", "steps", "at_full_rate"), [(500, 2002, 1004), (50, 2002, 1002)])
def test_dsa_steps_has_as_many_steps_as_dsa_for_500_images(
    monkeypatch, images, steps, at_full_rate
):
    """With other numbers of images, the steps are as many and the rate falls halfway."""
    rates, _ = watch_sgd(monkeypatch)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    data = torch.randn(images, 1, 2, 2), torch.arange(images) % 2
    for recipe in ("dsa-steps/1", "dsa/1") if images == 500 else ("dsa-steps/1",):
        rates.clear()
        training.train(net, *data, recipe, 0, augment=False, backend="reference")
        assert (len(rates), rates.index(pytest.approx(0.001))) == (steps, at_full_rate)


def watch_sgd(monkeypatch):
    """Record the learning rate of each step, and whether the optimizer had momentum before it."""
    rates, had_momentum = [], []
    step = torch.optim.SGD.step

    def watched(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        had_momentum.append(bool(self.state))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    return rates, had_momentum


def test_ddranking_has_its_own_normalisation_and_augmentation():
    recipe = RECIPES["ddranking-hard/1"]
    assert (
        recipe.normalises(datasets.CIFAR100)
        == recipe.normalises(datasets.CIFAR10)
        == (datasets.CIFAR10.mean, datasets.CIFAR10.std)
    )
    assert recipe.normalises(datasets.TINY_IMAGENET) == (
        datasets.TINY_IMAGENET.mean,
        datasets.TINY_IMAGENET.std,
    )
    draws, images = [], torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for name in ("dsa", "dsa-aligned"):
        # This seed draws a family that resamples the images.
        torch.manual_seed(3)
        draws.append(training.AUGMENTATIONS[name](images))
    assert not torch.allclose(*draws)
    torch.manual_seed(3)
    torch.testing.assert_close(draws[1], dsa.augment(images, align_corners=True))


def small_run(clothes, seed):
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=8)
    return training.train(net, *clothes, replace(QUICKSTART, steps=10), seed), net


def test_quickstart_learns_from_real_images(clothes):
    reports = []
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=8)
    losses = training.train(
        net, *clothes, QUICKSTART, 0, report=lambda done, total: reports.append((done, total))
    )
    assert reports == [(step, QUICKSTART.steps) for step in range(1, QUICKSTART.steps + 1)]
    assert len(losses) == -(-QUICKSTART.steps // -(-len(clothes[0]) // QUICKSTART.batch_size))
    assert losses[-1] < 0.8 < 2 < losses[0] + 1
    assert training.accuracy(net, *clothes) > 0.7


def test_seed_determines_training(clothes):
    before = torch.get_rng_state()
    (first, net), (second, same), (third, _) = (small_run(clothes, seed) for seed in (1, 1, 2))
    assert first == second != third
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    torch.set_rng_state(before)
    training.train(net, *clothes, replace(QUICKSTART, steps=1), 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_cycle_epochs_are_passes_over_the_images(clothes):
    net = students.build("convnet3", 10, 28, 1, width=8)
    reports = []
    assert (
        len(
            training.train(
                net,
                *clothes,
                "quickstart/1",
                0,
                epochs=2,
                report=lambda done, total: reports.append(total),
            )
        )
        == 2
    )
    # 1,000 images make 16 batches, and there are two passes.
    assert reports == [32] * 32
    with pytest.raises(ValueError, match="unknown recipe 'quickstart/9'"):
        training.train(net, *clothes, "quickstart/9", 0)


def test_accuracy_is_fraction_of_correct_classes():
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return torch.eye(3)[images[:, 0, 0, 0].long()]

    images = torch.tensor([0, 1, 2, 0])[:, None, None, None].float()
    assert training.accuracy(Fixed(), images, torch.tensor([0, 1, 2, 2])) == 0.75


def test_shift_moves_each_image_and_repeats_its_edge_pixels():
    torch.manual_seed(0)
    images = torch.arange(40 * 36, dtype=torch.float32).view(40, 1, 6, 6)
    moved = training.shift(images)
    seen = set()
    for image, result in zip(images[:, 0], moved[:, 0], strict=True):
        rows, columns = torch.arange(6).add(-2).view(6, 1), torch.arange(6).add(-2)
        matches = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(result, image[(rows + down).clamp(0, 5), (columns + right).clamp(0, 5)])
        ]
        assert len(matches) == 1
        seen |= set(matches)
    assert len(seen) > 12
    torch.manual_seed(0)
    assert torch.equal(moved, training.shift(images))
