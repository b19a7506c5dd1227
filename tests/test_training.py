"""Students, DSA, recipes and the training loop, against numbers of the official evaluator."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark_adapters import datasets, dsa, students, training
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


@pytest.mark.parametrize("augmented", [False, True])
def test_training_follows_the_official_trajectory(augmented, monkeypatch):
    """The golden run seeds before every epoch of one full batch; each step here is such an epoch."""
    golden = load_file(GOLDEN / "trajectory.safetensors")
    net = students.build("convnet3", 10, 32, 3, width=8)
    net.load_state_dict(weights(golden))
    epochs = iter(range(100))
    permutation = torch.randperm

    def seeded(count):
        order = permutation(count)
        torch.manual_seed(1000 + next(epochs))
        return torch.arange(len(order))  # in order: a full batch's loss does not depend on it, its augmentation does

    monkeypatch.setattr(torch, "randperm", seeded)
    losses = training.train(net, golden["images"], golden["labels"], "eccv2024/1", seed=0, epochs=20, augment=augmented)
    name = "dsa" if augmented else "noaug"
    assert losses == pytest.approx(NUMBERS[f"trajectory_{name}"]["loss_per_epoch"], abs=1e-4)
    for key, value in weights(golden, f"final_{name}.").items():
        torch.testing.assert_close(net.state_dict()[key], value, atol=1e-4, rtol=0)


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
