"""Compare training backends with the evaluator's plain float32 loop, on the same machine.

Each side rounds in its own order, so now and then a ReLU falls on the other side of zero. After 21
epochs, the weights differed by 3e-4 of the distance that training had moved them, and the losses
differed by 6e-6. The bounds leave a factor of 30 for other processors. A wrong formula exceeds them
by far: leaving out two of the 21 epochs makes a difference of 0.12.
"""

import copy
import itertools
import subprocess
import sys
from dataclasses import replace

import pytest
import reference
import torch
from torch import nn

from benchmark_adapters.scoring import backends, students, training
from benchmark_adapters.scoring.recipes import ECCV2024, QUICKSTART, RECIPES

MAX_WEIGHT_DISTANCE, MAX_LOSS_DISTANCE = 0.01, 1e-3


def small(name, channels=1):
    torch.manual_seed(0)
    return students.build(name, 10, 28, channels, 8 if "convnet" in name else None)


def compare(
    student, clothes, backend, augment=True, images=100, batch=43, epochs=20, is_equal=False
):
    """Compare the backend with the plain loop, in shuffled order and with a short last batch."""
    images, labels = (part[:: 1000 // images] for part in clothes)
    if isinstance(first := next(iter(student.features)), nn.Conv2d):
        images = images.repeat(1, first.in_channels, 1, 1)
    recipe = replace(ECCV2024, batch_size=batch, lr=0.001)
    ours, plain = copy.deepcopy(student), copy.deepcopy(student)
    settings = {"seed": 7, "epochs": epochs, "augment": augment}
    losses = training.train(ours, images, labels, recipe, backend=backend, **settings)
    expected = reference.train(plain, images, labels, recipe, **settings)
    if is_equal:
        # The two sides sum the losses of the batches in different orders.
        assert losses == pytest.approx(expected, abs=1e-6)
        assert torch.equal(weights(ours), weights(plain))
        return
    assert losses == pytest.approx(expected, abs=MAX_LOSS_DISTANCE)
    moved = (weights(plain) - weights(student)).norm()
    assert (weights(ours) - weights(plain)).norm() < MAX_WEIGHT_DISTANCE * moved


def weights(net):
    return torch.cat([parameter.flatten() for parameter in net.parameters()])


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("name", "augment"),
    [
        # AlexNet takes seconds.
        ("alexnet", True),
        *itertools.product(["convnet3", "convnet3-bn", "mlp"], [False, True]),
    ],
)
def test_reference_matches_plain_loop_bit_for_bit(clothes, name, augment):
    compare(
        small(name), clothes, "reference", augment, images=40, batch=17, epochs=2, is_equal=True
    )


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_fused_matches_plain_loop(clothes, channels, augment):
    compare(small("convnet3", channels), clothes, "auto", augment)


@pytest.mark.parametrize("name", ["convnet3-bn", "alexnet", "mlp"])
def test_other_students_match_plain_loop(clothes, name):
    compare(small(name), clothes, "auto", images=40, batch=17, epochs=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_winograd_matches_plain_loop_without_compiler(clothes, channels, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda loss, mode=None: loss)
    compare(small("convnet3", channels), clothes, "fast")


@pytest.mark.filterwarnings("error:training without torch.compile")
def test_compiled_winograd_matches_plain_loop(clothes):
    """Use two blocks, one per kind of convolution, because every layer takes time to compile."""
    torch.manual_seed(0)
    blocks = [
        [nn.Conv2d(inputs, 8, 3, padding=border), nn.GroupNorm(8, 8), nn.ReLU(), nn.AvgPool2d(2)]
        for inputs, border in ((1, 3), (8, 1))
    ]
    features = nn.Sequential(*blocks[0], *blocks[1])
    compare(students.ConvNet(features, nn.Linear(8 * 8 * 8, 10)), clothes, "fast", batch=100)


@pytest.mark.parametrize(
    ("name", "device", "requested", "epochs", "planned"),
    [
        ("convnet3", "cpu", "auto", 499, "fused"),
        ("convnet3", "cpu", "auto", 500, "winograd"),
        ("convnet3", "cpu", "fast", 1, "winograd"),
        ("convnet3", "cpu", "reference", 500, "plain"),
        ("convnet3-bn", "cpu", "auto", 1, "plain"),
        ("resnet18", "cpu", "fast", 1, "compiled"),
        ("mlp", "cpu", "auto", 1, "plain"),
        ("mlp", "cpu", "auto", 500, "compiled"),
        ("convnet3", "cuda", "auto", 1, "plain"),
        ("convnet3", "cuda", "auto", 500, "compiled"),
        ("convnet3", "mps", "auto", 500, "plain"),
        ("convnet3", "mps", "fast", 500, "plain"),
    ],
)
def test_plan_depends_on_student_device_request_and_length(
    name, device, requested, epochs, planned
):
    """With 100 images, 500 epochs are 50,000 passes."""
    recipe = replace(ECCV2024, epochs=epochs, lr_drop_after=None)
    backend = training.plan_backend(students.build(name, 10, 28, 1), 100, recipe, device, requested)
    assert (backend.planned, backend.used) == (planned, planned)
    assert bool(backend.fallback) == ((device, requested) == ("mps", "fast"))


def test_plan_counts_steps_of_one_cycle_recipes():
    net = students.build("convnet3", 10, 28, 1)
    recipe = replace(QUICKSTART, batch_size=100, steps=500)
    assert training.plan_backend(net, 100, recipe).planned == "winograd"
    assert training.plan_backend(net, 100, replace(recipe, steps=499)).planned == "fused"


def test_training_continues_without_compiler(clothes, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(backends, "_compiled", lambda loss, mode=None: fail)
    net = students.build("convnet3", 10, 28, 1, width=8)
    recipe = replace(QUICKSTART, steps=32)
    backend = training.plan_backend(net, len(clothes[0]), recipe, requested="fast")
    with pytest.warns(UserWarning, match="without torch.compile, which failed: RuntimeError"):
        losses = training.train(net, *clothes, recipe, 0, backend=backend)
    assert losses[-1] < losses[0]
    assert (backend.planned, backend.used) == ("winograd", "fused")
    assert backend.fallback == "torch.compile failed: RuntimeError"


def test_reference_predicts_in_whole_batches():
    sizes = []
    net = students.build("convnet3", 10, 28, 1, width=8)
    net.register_forward_hook(lambda net, inputs, outputs: sizes.append(len(outputs)))
    for backend in ("auto", "reference"):
        training.predict(net, torch.zeros(24, 1, 28, 28), backend)
    assert sizes == [8, 8, 8, 24]


TRAINS = """
import sys, torch
from benchmark_adapters import datasets
from benchmark_adapters.scoring import students, training
images, labels = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)
torch.manual_seed(0)
net = students.build("convnet3", 10, 28, 1, 32)
pixels = training.Normalised.of(
    images[::10], datasets.FASHION_MNIST.mean, datasets.FASHION_MNIST.std
)
labels = torch.from_numpy(labels[::10])
losses = training.train(net, pixels, labels, "dsa/1", 5, epochs=6, backend=sys.argv[1])
print(losses, [float(weights.double().sum()) for weights in net.parameters()])
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["fast", "auto", "reference"])
def test_training_is_equal_in_separate_processes(backend):
    """test_sandbox.py covers a small case: a file scores the same as its run in another process."""
    command = [sys.executable, "-c", TRAINS, backend]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert first == second


def test_one_shape_and_layout_is_compiled_for_a_gpu(clothes):
    """The tensors are on the CPU: only the choices for a GPU are tested.

    Each of DSA's families leaves its own memory layout, and the last of the batches is short.
    """
    compiled = []

    def count(graph, inputs):
        compiled.append(graph)
        return graph.forward

    net = small("convnet3", channels=3)
    recipe = replace(ECCV2024, batch_size=40)
    backend = backends.TrainingBackend(net, torch.device("cuda"), 40, 10**6)
    assert backend.planned == "compiled"
    backend._loss = torch.compile(backends._eager_loss, dynamic=False, backend=count)
    images, labels = (part[::10][:100] for part in clothes)
    settings = {"seed": 7, "epochs": 12, "backend": backend}
    training.train(net, images.repeat(1, 3, 1, 1), labels, recipe, **settings)
    assert (len(compiled), backend.fallback) == (1, None)


@pytest.mark.parametrize(
    ("recipe", "device", "requested", "memory_format"),
    [
        ("eccv2024/1", "cuda", "auto", torch.contiguous_format),
        ("eccv2024/2", "cuda", "auto", torch.channels_last),
        ("eccv2024/2", "cuda", "reference", torch.contiguous_format),
        ("eccv2024/1", "cpu", "auto", torch.channels_last),
    ],
)
def test_memory_format_depends_on_tf32(recipe, device, requested, memory_format):
    """Without TF32, channels-last convolutions are the slowest on a GPU."""
    backend = training.plan_backend(small("mlp"), 100, RECIPES[recipe], device, requested)
    assert backend.memory_format == memory_format
