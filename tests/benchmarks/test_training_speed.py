"""Speed of training and testing students on a CPU, compared with tests/support/reference.py."""

import functools
import statistics

import pytest
import reference
import torch
from timing import seconds_of
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.backends import MIN_COMPILED_PASSES, TrainingBackend
from benchmark_adapters.scoring.images import Normalised, normalise
from benchmark_adapters.scoring.recipes import ECCV2024

pytestmark = pytest.mark.bench
EPOCHS = 1001
CASES = {"CIFAR-100's shapes": (CIFAR100, 10), "Fashion-MNIST": (FASHION_MNIST, 10)}


def draw(dataset, ipc):
    """Return a student, noise with the shape of the dataset's images, and labels."""
    torch.manual_seed(0)
    count = ipc * dataset.num_classes
    images = torch.randn(count, dataset.channels, dataset.image_size, dataset.image_size)
    return (
        students.build("convnet3", dataset.num_classes, dataset.image_size, dataset.channels),
        images,
        torch.arange(count) % dataset.num_classes,
    )


@functools.cache
def draw_plain(dataset):
    """Return the network of the plain loop, with noise and labels as in `draw`."""
    _, images, labels = draw(dataset, 10)
    return (
        reference.convnet3(dataset.num_classes, dataset.image_size, dataset.channels),
        images,
        labels,
    )


def train_plain_epoch(dataset, seed):
    reference.train(*draw_plain(dataset), ECCV2024, seed, epochs=0)


def predict_plainly():
    images, labels = bundled_test_images()
    net, _, _ = draw_plain(FASHION_MNIST)
    reference.accuracy(net, normalise(images, FASHION_MNIST), torch.from_numpy(labels))


@functools.cache
def bundled_test_images():
    return datasets.load(FASHION_MNIST, "test", bundled=True)


@pytest.mark.parametrize("case", CASES)
def test_speed_of_an_epoch(case, alternate, show, elsewhere, monkeypatch, tmp_path):
    """Measure one of 1001 epochs with DSA, compiled as in complete training.

    The time to compile is shown, and it counts in the ratio for complete training.
    """
    # With an empty cache, nothing is compiled yet.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    dataset, ipc = CASES[case]
    net, images, labels = draw(dataset, ipc)
    seeds = iter(range(1000))
    # Both sides use the same seed, so that they draw the same augmentations.
    seed = [0]

    def ours():
        training.train(net, images, labels, ECCV2024, seed[0], epochs=0, backend="fast")

    def plain():
        seed[0] = next(seeds)
        elsewhere(train_plain_epoch, dataset, seed[0])

    first = seconds_of(ours)
    epoch, against = alternate(ours, plain, rounds=9)
    compiling = max(0.0, first - epoch)
    show(
        f"an epoch of {len(images):,} images, {case}",
        f"{epoch:.2f} s",
        f"{against:.2f} s",
        f"{against / epoch:.2f}",
        "2.5 (at least 1.8)",
    )
    whole, plain_whole = compiling + EPOCHS * epoch, EPOCHS * against
    show(
        f"{EPOCHS} epochs, including compilation ({compiling:.0f} s)",
        f"{whole:.0f} s",
        f"{plain_whole:.0f} s",
        f"{plain_whole / whole:.2f}",
        "",
    )
    assert against / epoch > 1.8


def test_speed_of_testing_10000_images(alternate, show, elsewhere):
    images, _ = bundled_test_images()
    net, _, _ = draw(FASHION_MNIST, 1)
    normalised = Normalised.of(images, FASHION_MNIST.mean, FASHION_MNIST.std)
    net.to(memory_format=torch.channels_last)
    seconds, against = alternate(
        lambda: training.predict(net, normalised), lambda: elsewhere(predict_plainly), rounds=3
    )
    show(
        "testing 10,000 images of Fashion-MNIST",
        f"{seconds:.1f} s",
        f"{against:.1f} s",
        f"{against / seconds:.2f}",
        "1.5",
    )
    assert against / seconds > 1.5


@pytest.mark.parametrize(("name", "batch"), [("convnet3", 10), ("convnet3", 100), ("mlp", 100)])
def test_speed_of_several_seeds_in_one_step(name, batch, show):
    """Compare one compiled ``torch.func`` step of three seeds with three separate steps.

    The gradients are equal. On a CPU, the joint step is not faster.
    """
    torch.manual_seed(0)
    nets = [students.build(name, 10, 28, 1) for _ in range(3)]
    images, labels = torch.randn(3, batch, 1, 28, 28), torch.arange(batch) % 10
    one_by_one, together = step_one_by_one(nets, images, labels), step_together(nets, labels)
    expected, (gradients, losses) = torch.stack(one_by_one()), together(images)
    torch.testing.assert_close(losses, expected, atol=1e-4, rtol=0)
    apart = torch.cat([weights.grad.flatten() for weights in nets[0].parameters()])
    joint = torch.cat([gradients[key][0].flatten() for key, _ in nets[0].named_parameters()])
    # Some gradients change if an activation rounds to the other side of ReLU's kink.
    assert (joint - apart).norm() < 0.01 * apart.norm()
    sides = (one_by_one, lambda: together(images))
    # Warm up.
    for side in sides:
        side()
    rounds = [[seconds_of(side) for side in sides] for _ in range(7)]
    alone, joint = (1000 * statistics.median(times) for times in zip(*rounds, strict=True))
    show(
        f"3 seeds of {name}, batch {batch}: one by one, torch.func",
        f"{alone:.1f} ms",
        f"{joint:.1f} ms",
        f"{joint / alone:.2f}",
        "",
    )


def step_one_by_one(nets, images, labels):
    """Return a function that computes the gradients of each network and returns the losses."""
    backends = [
        TrainingBackend(net, torch.device("cpu"), len(labels), MIN_COMPILED_PASSES) for net in nets
    ]

    def step():
        losses = []
        for net, backend, pictures in zip(nets, backends, images, strict=True):
            net.zero_grad()
            losses.append(backend.add_gradients(net, pictures, labels))
        return losses

    return step


def step_together(nets, labels):
    """Return a function that takes the images of all networks and returns gradients and losses."""
    parameters, _ = stack_module_state(nets)

    def loss(weights, pictures):
        logits = functional_call(nets[0], weights, (pictures,))
        return torch.nn.functional.cross_entropy(logits, labels)

    compiled = torch.compile(vmap(grad_and_value(loss)), dynamic=False)
    return lambda images: compiled(parameters, images)
