"""Fast ways of training against the plain float32 loop, which runs beside them on the same machine.

Both round, each in its own order, and now and then a ReLU falls on the other side of zero: after 21 epochs their weights were
3e-4 of the way apart that training had moved them, their losses 6e-6. The bounds leave a factor of 30 for other processors,
and another formula is far beyond them: two epochs of 21 left out are a distance of 0.12.
"""

import copy
import subprocess
import sys
from dataclasses import replace

import pytest
import reference
import torch
from torch import nn

from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.cpu import fused as fast
from benchmark_adapters.scoring.recipes import ECCV2024

WAY, LOSS = 0.01, 1e-3


def small(name, channels=1):
    torch.manual_seed(0)
    return students.build(name, 10, 28, channels, 8 if "convnet" in name else None)


def follows(train, student, clothes, augment=True, images=100, batch=43, epochs=20):
    """Whether ``train`` goes the way of the plain loop: several batches an epoch, the last one short, in shuffled order."""
    images, labels = (part[:: 1000 // images] for part in clothes)
    if isinstance(first := next(iter(student.features)), nn.Conv2d):
        images = images.repeat(1, first.in_channels, 1, 1)
    recipe = replace(ECCV2024, batch_size=batch, lr=0.001)
    nets = [copy.deepcopy(student) for _ in range(2)]
    losses, expected = (
        one(net, images, labels, recipe, seed=7, epochs=epochs, augment=augment)
        for one, net in zip((train, reference.train), nets, strict=True)
    )
    assert losses == pytest.approx(expected, abs=LOSS)
    start, ours, plain = (
        torch.cat([weights.flatten() for weights in net.parameters()]) for net in (student, *nets)
    )
    assert (ours - plain).norm() < WAY * (plain - start).norm()


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_in_pieces(clothes, channels, augment):
    follows(training.train, small("convnet3", channels), clothes, augment)


@pytest.mark.parametrize("name", ["convnet3-bn", "alexnet", "mlp"])
def test_other_students(clothes, name):
    follows(training.train, small(name), clothes, images=40, batch=17, epochs=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_fused(clothes, channels, monkeypatch):
    """With Winograd's convolutions, not compiled."""
    monkeypatch.setattr(fast, "WORTH_COMPILING", 0)
    monkeypatch.setattr(fast, "_compiled_loss", lambda: fast._fused_loss)
    follows(training.train, small("convnet3", channels), clothes)


@pytest.mark.filterwarnings("error:training without torch.compile")
def test_compiled(clothes, monkeypatch):
    """Of two blocks, one for each kind of convolution, since every layer takes its time to compile."""
    torch.manual_seed(0)
    blocks = [
        [nn.Conv2d(inputs, 8, 3, padding=border), nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2)]
        for inputs, border in ((1, 3), (8, 1))
    ]
    monkeypatch.setattr(fast, "WORTH_COMPILING", 0)
    follows(
        training.train,
        students.ConvNet(nn.Sequential(*blocks[0], *blocks[1]), nn.Linear(8 * 8 * 8, 10)),
        clothes,
        batch=100,
    )


def test_images_are_treated_alone_only_where_that_is_known():
    alone = {
        name: fast.treats_images_alone(students.build(name, 10, 32, 3))
        for name in students.STUDENTS
    }
    assert alone == dict.fromkeys(students.STUDENTS, True) | {
        "convnet3-bn": False,
        "resnet18": False,
        "vgg11": False,
    }


def test_training_goes_on_where_nothing_can_be_compiled(clothes, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(fast, "WORTH_COMPILING", 0)
    monkeypatch.setattr(fast, "_compiled_loss", lambda: fail)
    net = students.build("convnet3", 10, 28, 1, width=8)
    with pytest.warns(UserWarning, match="without torch.compile, which failed: RuntimeError"):
        losses = training.train(net, *clothes, "quickstart/1", 0, epochs=2)
    assert losses[-1] < losses[0]


TRAINS = """
import sys, torch
from benchmark_adapters import datasets, fast, students, training
fast.WORTH_COMPILING = int(sys.argv[1])
images, labels = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)
torch.manual_seed(0)
net = students.build("convnet3", 10, 28, 1, 32)
seen = training.Normalised.of(images[::10], datasets.FASHION_MNIST.mean, datasets.FASHION_MNIST.std)
losses = training.train(net, seen, torch.from_numpy(labels[::10]), "dsa/1", 5, epochs=6)
print(losses, [float(weights.double().sum()) for weights in net.parameters()])
"""


@pytest.mark.slow
@pytest.mark.parametrize("worth", [pytest.param(0, id="compiled"), pytest.param(10**9, id="eager")])
def test_separate_processes_train_alike(worth):
    """That a file scores what its run scored, in another process, test_sandbox.py shows in small."""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", TRAINS, str(worth)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert first == second
