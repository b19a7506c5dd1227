"""Students, DSA, recipes and the training loop, against numbers of the official evaluator."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from safetensors.torch import load_file

from benchmark_adapters import datasets, dsa, fast, students, training
from benchmark_adapters.recipes import ECCV2024, QUICKSTART, RECIPES

GOLDEN = Path(__file__).parent / "golden" / "eccv2024"
NUMBERS = json.loads((GOLDEN / "golden.json").read_text())


def weights(tensors, prefix="param."):
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@pytest.mark.parametrize(("file", "classes", "size"), [("convnet3_32px_100c_w8", 100, 32), ("convnet3_64px_10c_w8", 10, 64)])
def test_convnet3_gives_the_official_logits(file, classes, size):
    golden = load_file(GOLDEN / f"{file}.safetensors")
    net = students.build("convnet3", classes, size, 3, width=8)
    net.load_state_dict(weights(golden))
    torch.testing.assert_close(net(golden["input"]), golden["logits"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_convnet3_is_the_plain_network(channels, size):
    ours, plain = students.build("convnet3", 10, size, channels, width=16), reference.convnet3(10, size, channels, width=16)
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(5, channels, size, size)
    torch.testing.assert_close(ours(images), plain(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "classes", "size"), [("cifar100_32px", 100, 32), ("tinyimagenet_64px", 200, 64)])
def test_convnet3_has_the_official_size(name, classes, size):
    net = students.build("convnet3", classes, size, 3)
    assert sum(p.numel() for p in net.parameters()) == NUMBERS["parameter_counts_width128"][name]


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 10), (3, 32, 100), (3, 64, 200)])
@pytest.mark.parametrize("name", students.STUDENTS)
def test_every_student_takes_every_dataset(name, channels, size, classes):
    net = students.build(name, classes, size, channels)
    images = torch.randn(4, channels, size, size)
    loss = torch.nn.functional.cross_entropy(net(images), torch.arange(4))
    loss.backward()
    assert net(images).shape == (4, classes)
    assert all(weights.grad is not None and weights.grad.abs().sum() > 0 for weights in net.parameters() if weights.ndim > 1)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("convnet3", 320_010),  # DC-BENCH's ConvNet for CIFAR-10
        ("resnet18", 11_173_962),  # the usual ResNet-18 for CIFAR-10
        ("vgg11", 9_231_114),  # the usual VGG-11 with batch norm for CIFAR-10
        ("mlp", 411_146),  # 3072 * 128 + 128, 128 * 128 + 128, 128 * 10 + 10
    ],
)
def test_students_for_cifar10_have_their_usual_size(name, parameters):
    assert sum(weights.numel() for weights in students.build(name, 10, 32, 3).parameters()) == parameters


def test_convnet4_has_a_block_more():
    net = students.build("convnet4", 10, 32, 3, width=8)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in net.modules()) == 4
    assert net.classifier.in_features == 8 * 2 * 2


def test_batch_norm_in_the_place_of_instance_norm():
    net = students.build("convnet3-bn", 10, 32, 3)
    assert sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.modules()) == 3
    assert not any(isinstance(layer, torch.nn.GroupNorm) for layer in net.modules())


def test_a_width_that_can_not_be_chosen():
    with pytest.raises(ValueError, match="student resnet18 has no width to choose"):
        students.build("resnet18", 10, 32, 3, width=8)


def test_convnet3_takes_grey_images():
    assert students.build("convnet3", 10, 28, 1, width=8)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_unknown_student():
    with pytest.raises(ValueError, match="known: convnet3"):
        students.build("convnet", 10, 28, 1)


DSA = load_file(GOLDEN / "dsa_32px.safetensors")


@pytest.mark.parametrize("case", sorted(set(DSA) - {"input"}))
def test_dsa_gives_the_official_images(case):
    name, seed = case.split(".seed")
    torch.manual_seed(int(seed))
    result = dsa.augment(DSA["input"]) if name == "strategy" else dsa.FAMILIES[name](DSA["input"])
    torch.testing.assert_close(result, DSA[case], atol=1e-6, rtol=0)


def test_dsa_refuses_unknown_families():
    with pytest.raises(ValueError, match="blur"):
        dsa.augment(DSA["input"], "color_blur")


def golden_run(augmented, monkeypatch, train):
    """The golden run seeds before every epoch of one full batch and takes the images in order."""
    golden = load_file(GOLDEN / "trajectory.safetensors")
    net = students.build("convnet3", 10, 32, 3, width=8)
    net.load_state_dict(weights(golden))
    calls = iter(range(100))
    permutation = torch.randperm
    each = 2 if train is reference.train else 1  # calls of randperm in an epoch: a DataLoader makes two

    def seeded(count, generator=None, **how):
        if generator is None:
            return permutation(count, **how)  # the compiler's
        torch.manual_seed(1000 + next(calls) // each)
        return torch.arange(count)

    monkeypatch.setattr(torch, "randperm", seeded)
    losses = train(net, golden["images"], golden["labels"], ECCV2024, seed=0, epochs=20, augment=augmented)
    name = "dsa" if augmented else "noaug"
    assert losses == pytest.approx(NUMBERS[f"trajectory_{name}"]["loss_per_epoch"], abs=1e-4)
    for key, value in weights(golden, f"final_{name}.").items():
        torch.testing.assert_close(net.state_dict()[key], value, atol=1e-4, rtol=0)


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("train", [training.train, reference.train], ids=["fast", "reference"])
def test_training_follows_the_official_trajectory(train, augmented, monkeypatch):
    golden_run(augmented, monkeypatch, train)


@pytest.mark.filterwarnings("error:training without torch.compile")
@pytest.mark.parametrize("augmented", [False, True])
def test_compiled_training_follows_the_official_trajectory(augmented, monkeypatch):
    monkeypatch.setattr(fast, "WORTH_COMPILING", 0)
    golden_run(augmented, monkeypatch, training.train)


@pytest.mark.parametrize("name", ["convnet3", "convnet3-bn", "alexnet", "mlp"])
def test_fast_training_draws_and_learns_as_the_plain_loop(name, clothes):
    """Several batches an epoch, the last one short, in shuffled order and with DSA."""
    images, labels = clothes[0][:300:3], clothes[1][:300:3]
    recipe = replace(ECCV2024, batch_size=43, lr=0.001)
    losses = []
    for train in (training.train, reference.train):
        torch.manual_seed(0)
        net = students.build(name, 10, 28, 1)
        losses.append(train(net, images, labels, recipe, seed=7, epochs=4))
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_images_are_treated_alone_only_where_that_is_known():
    alone = {name: fast.treats_images_alone(students.build(name, 10, 32, 3)) for name in students.STUDENTS}
    assert alone == dict.fromkeys(students.STUDENTS, True) | {"convnet3-bn": False, "resnet18": False, "vgg11": False}


def test_training_goes_on_where_nothing_can_be_compiled(clothes, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(fast, "WORTH_COMPILING", 0)
    monkeypatch.setattr(fast, "_compiled_loss", lambda: fail)
    net = students.build("convnet3", 10, 28, 1, width=8)
    with pytest.warns(UserWarning, match="without torch.compile, which failed: RuntimeError"):
        losses = training.train(net, *clothes, "quickstart/1", 0, epochs=2)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("schedule", "epochs", "rates"), [("rebuild-halfway", 6, [1, 1, 1, 1, 1, 0.1, 0.1]), ("step-halfway", 6, [1, 1, 1, 0.1, 0.1, 0.1])])
def test_the_rate_drops_where_the_schedule_says(schedule, epochs, rates, clothes, monkeypatch):
    seen, buffers = [], []
    step = torch.optim.SGD.step

    def spied(self, *rest):
        seen.append(self.param_groups[0]["lr"])
        buffers.append(bool(self.state))
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    net = students.build("convnet3", 10, 28, 1, width=8)
    recipe = replace(ECCV2024, schedule=schedule, lr=1.0)
    training.train(net, clothes[0][:20], clothes[1][:20], recipe, 0, epochs=epochs)
    assert seen == pytest.approx(rates)
    drop = rates.index(0.1)
    assert buffers == [False] + [step != drop or schedule == "step-halfway" for step in range(1, len(rates))]  # momentum: lost by the rebuilt one alone


def test_ddranking_has_its_own_draws_and_numbers():
    recipe = RECIPES["ddranking-hard/1"]
    assert recipe.normalises(datasets.CIFAR100) == recipe.normalises(datasets.CIFAR10) == (datasets.CIFAR10.mean, datasets.CIFAR10.std)
    assert recipe.normalises(datasets.TINY_IMAGENET) == (datasets.TINY_IMAGENET.mean, datasets.TINY_IMAGENET.std)
    draws = []
    for name in ("dsa", "dsa-aligned"):
        torch.manual_seed(3)  # draws a family that resamples
        draws.append(training.AUGMENTATIONS[name](DSA["input"]))
    assert not torch.allclose(*draws)
    torch.manual_seed(3)
    torch.testing.assert_close(draws[1], dsa.augment(DSA["input"], align_corners=True))


def test_normalised_images_are_those_of_normalise():
    pixels, _ = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    lazy = training.Normalised.of(pixels[:50], datasets.FASHION_MNIST.mean, datasets.FASHION_MNIST.std)
    index = torch.tensor([3, 0, 49])
    assert len(lazy) == 50
    assert torch.equal(lazy[index], training.normalise(pixels[:50], datasets.FASHION_MNIST)[index])


@pytest.fixture(scope="module")
def clothes():
    images, labels = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)
    return training.normalise(images, datasets.FASHION_MNIST), torch.from_numpy(labels)


def test_normalise_gives_the_training_split_mean_0_and_deviation_1(clothes):
    assert clothes[0].mean().abs() < 0.05
    assert (clothes[0].std() - 1).abs() < 0.05


def small_run(clothes, seed):
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=8)
    return training.train(net, *clothes, QUICKSTART, seed), net


def test_quickstart_learns_real_images(clothes):
    reports = []
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=8)
    losses = training.train(net, *clothes, QUICKSTART, 0, report=lambda done, total: reports.append((done, total)))
    assert reports == [(step, QUICKSTART.steps) for step in range(1, QUICKSTART.steps + 1)]
    assert len(losses) == -(-QUICKSTART.steps // -(-len(clothes[0]) // QUICKSTART.batch_size))
    assert losses[-1] < 0.8 < 2 < losses[0] + 1
    assert training.accuracy(net, *clothes) > 0.7


def test_a_seed_decides_a_training(clothes):
    before = torch.get_rng_state()
    (first, net), (second, same), (third, _) = (small_run(clothes, seed) for seed in (1, 1, 2))
    assert first == second != third
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), same.parameters(), strict=True))
    torch.set_rng_state(before)
    training.train(net, *clothes, QUICKSTART, 5)
    assert torch.equal(torch.get_rng_state(), before)


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


@pytest.mark.parametrize("worth", [0, 10**9], ids=["compiled", "eager"])
def test_separate_processes_train_alike(worth):
    first, second = (subprocess.run([sys.executable, "-c", TRAINS, str(worth)], capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second


def test_epochs_override_steps_by_passes_over_the_images(clothes):
    net = students.build("convnet3", 10, 28, 1, width=8)
    reports = []
    assert len(training.train(net, *clothes, "quickstart/1", 0, epochs=2, report=lambda done, total: reports.append(total))) == 2
    assert reports == [32] * 32  # 1,000 images in 16 batches, twice
    with pytest.raises(ValueError, match="unknown recipe 'quickstart/9'"):
        training.train(net, *clothes, "quickstart/9", 0)


def test_accuracy_is_the_fraction_of_right_classes():
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images):
            return torch.eye(3)[images[:, 0, 0, 0].long()]

    images = torch.tensor([0, 1, 2, 0])[:, None, None, None].float()
    assert training.accuracy(Fixed(), images, torch.tensor([0, 1, 2, 2])) == 0.75


def test_shipped_recipes_do_not_change():
    """A recipe that differs needs a new name: its scores can't be compared with the old ones."""
    assert {name: recipe.sha256[:12] for name, recipe in RECIPES.items()} == FROZEN
    assert np.isclose(ECCV2024.lr, 0.01)


FROZEN = {
    "quickstart/1": "d55d5b352a19",
    "eccv2024/1": "6ffd612d245c",
    "dsa/1": "f4389f16cc68",
    "dcbench/1": "cac55fe2c753",
    "ddranking-plain/1": "d3f348ce4d54",
    "ddranking-hard/1": "89352636b0f6",
}


def test_shift_moves_each_image_and_repeats_its_edge():
    torch.manual_seed(0)
    images = torch.arange(40 * 36, dtype=torch.float32).view(40, 1, 6, 6)
    moved = training.shift(images)
    seen = set()
    for image, result in zip(images[:, 0], moved[:, 0], strict=True):
        rows, columns = torch.arange(6).add(-2).view(6, 1), torch.arange(6).add(-2)
        matches = [
            (down, right) for down in range(5) for right in range(5) if torch.equal(result, image[(rows + down).clamp(0, 5), (columns + right).clamp(0, 5)])
        ]
        assert len(matches) == 1
        seen |= set(matches)
    assert len(seen) > 12
    torch.manual_seed(0)
    assert torch.equal(moved, training.shift(images))
