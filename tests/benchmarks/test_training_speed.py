"""Training and testing a student on a CPU, against the evaluator's plain loop.

The loop is tests/support/reference.py.
"""

import functools
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmark_adapters import datasets
from benchmark_adapters.datasets import CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.recipes import ECCV2024

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import reference

pytestmark = pytest.mark.bench
EPOCHS = 1001
CASES = {"CIFAR-100's shapes": (CIFAR100, 10), "Fashion-MNIST": (FASHION_MNIST, 10)}


def drawn(dataset, ipc):
    """Noise of the dataset's shape, and a student."""
    torch.manual_seed(0)
    count = ipc * dataset.num_classes
    images = torch.randn(count, dataset.channels, dataset.image_size, dataset.image_size)
    return (
        students.build("convnet3", dataset.num_classes, dataset.image_size, dataset.channels),
        images,
        torch.arange(count) % dataset.num_classes,
    )


@functools.cache
def plain_work(dataset):
    """The plain loop's network and what `drawn` gives."""
    _, images, labels = drawn(dataset, 10)
    return (
        reference.convnet3(dataset.num_classes, dataset.image_size, dataset.channels),
        images,
        labels,
    )


def plain_epoch(dataset, seed):
    reference.train(*plain_work(dataset), ECCV2024, seed, epochs=0)


def plain_testing():
    images, labels = clothes()
    reference.accuracy(
        plain_work(FASHION_MNIST)[0],
        training.normalise(images, FASHION_MNIST),
        torch.from_numpy(labels),
    )


@functools.cache
def clothes():
    return datasets.load(FASHION_MNIST, "test", bundled=True)


@pytest.fixture(scope="module")
def elsewhere():
    """Call a function in a process of its own, where memory is managed as for the loop's users."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda *call: pool.submit(*call).result()


@pytest.mark.parametrize("case", CASES)
def test_an_epoch(case, alternate, show, elsewhere, monkeypatch, tmp_path):
    """One of 1001 epochs with DSA.

    The time for compiling is shown, and counted in the ratio of whole trainings.
    """
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing is compiled yet
    dataset, ipc = CASES[case]
    began = time.perf_counter()
    net, images, labels = drawn(dataset, ipc)
    training.train(net, images, labels, ECCV2024, 0, epochs=0, backend="fast")
    first = time.perf_counter() - began
    seeds = iter(range(1000))
    seed = [0]  # alike on both sides, so that both draw the same families

    def ours():
        training.train(net, images, labels, ECCV2024, seed[0], epochs=0, backend="fast")

    def plain():
        seed[0] = next(seeds)
        elsewhere(plain_epoch, dataset, seed[0])

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
        f"{EPOCHS} epochs, compiling ({compiling:.0f} s) counted",
        f"{whole:.0f} s",
        f"{plain_whole:.0f} s",
        f"{plain_whole / whole:.2f}",
        "",
    )
    assert against / epoch > 1.8


def test_testing_10000_images(alternate, show, elsewhere):
    images, _ = clothes()
    net, _, _ = drawn(FASHION_MNIST, 1)
    seen = training.Normalised.of(images, FASHION_MNIST.mean, FASHION_MNIST.std)
    net.to(memory_format=torch.channels_last)
    seconds, against = alternate(
        lambda: training.predict(net, seen), lambda: elsewhere(plain_testing), rounds=3
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
def test_seeds_together(name, batch, show):
    """Three seeds in one compiled step of ``torch.func``, against one after the other.

    The gradients are equal, and it is not faster on a CPU.
    """
    torch.manual_seed(0)
    nets = [students.build(name, 10, 28, 1) for _ in range(3)]
    images, labels = torch.randn(3, batch, 1, 28, 28), torch.arange(batch) % 10
    recipe = replace(ECCV2024, batch_size=batch)
    compiled = [training.plan_backend(net, batch, recipe, requested="fast") for net in nets]
    parameters, _ = stack_module_state(nets)

    def loss(weights, pictures):
        return torch.nn.functional.cross_entropy(
            functional_call(nets[0], weights, (pictures,)), labels
        )

    all_at_once = torch.compile(vmap(grad_and_value(loss)), dynamic=False)

    def one_by_one():
        parts = zip(compiled, nets, images, strict=True)
        return [backend.add_gradients(net, pictures, labels) for backend, net, pictures in parts]

    expected, (gradients, found) = torch.stack(one_by_one()), all_at_once(parameters, images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    apart = torch.cat([parameter.grad.flatten() for parameter in nets[0].parameters()])
    together = torch.cat([gradients[key][0].flatten() for key, _ in nets[0].named_parameters()])
    assert (
        (together - apart).norm() < 0.01 * apart.norm()
    )  # an activation that rounds to the other side of ReLU's bend changes some of them
    one_by_one()
    all_at_once(parameters, images)
    times: dict[str, list[float]] = {"one by one": [], "together": []}
    for _ in range(7):
        for what, step in (
            ("one by one", one_by_one),
            ("together", lambda: all_at_once(parameters, images)),
        ):
            began = time.perf_counter()
            step()
            times[what].append(time.perf_counter() - began)
    alone, joint = (1000 * statistics.median(values) for values in times.values())
    show(
        f"3 seeds of {name}, batch {batch}: one by one, torch.func",
        f"{alone:.1f} ms",
        f"{joint:.1f} ms",
        f"{joint / alone:.2f}",
        "",
    )
