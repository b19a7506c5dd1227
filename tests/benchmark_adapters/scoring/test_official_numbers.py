"""Compare network, DSA and training with numbers from the official ECCV 2024 evaluator.

The numbers are in tests/golden/eccv2024. In float64, both agree to about 1e-12 on every processor,
so 1e-9 leaves no room for another formula or another order of random draws. In float32, processors
differ, so the bounds there only distinguish a wrong draw from rounding.
"""

import json

import pytest
import reference
import torch
from project import TESTS
from safetensors.torch import load_file

from benchmark_adapters.scoring import dsa, students, training
from benchmark_adapters.scoring.recipes import ECCV2024

GOLDEN = TESTS / "golden" / "eccv2024"
NUMBERS = json.loads((GOLDEN / "golden.json").read_text())
LOSSES = {torch.float64: json.loads((GOLDEN / "float64.json").read_text())}
LOSSES[torch.float32] = {name: NUMBERS[name]["loss_per_epoch"] for name in LOSSES[torch.float64]}
FLOAT64 = load_file(GOLDEN / "float64.safetensors")
DSA = load_file(GOLDEN / "dsa_32px.safetensors")
TRAJECTORY = load_file(GOLDEN / "trajectory.safetensors")
CASES = sorted(set(DSA) - {"input"})
NETWORKS = [("convnet3_32px_100c_w8", 100, 32), ("convnet3_64px_10c_w8", 10, 64)]


@pytest.fixture
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def weights(tensors, prefix="param."):
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def agree(ours, official, within):
    torch.testing.assert_close(ours, official, atol=within, rtol=0)


def logits(file, classes, size, dtype):
    golden = load_file(GOLDEN / f"{file}.safetensors")
    net = students.build("convnet3", classes, size, 3, width=8).to(dtype)
    net.load_state_dict(weights(golden))
    return net(golden["input"].to(dtype)), golden["logits"]


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(("file", "classes", "size"), NETWORKS)
def test_logits_match_official_numbers(file, classes, size):
    agree(logits(file, classes, size, torch.float64)[0], FLOAT64[f"{file}.logits"], within=1e-9)


@pytest.mark.parametrize(("file", "classes", "size"), NETWORKS)
def test_float32_logits_match_official_numbers(file, classes, size):
    agree(*logits(file, classes, size, torch.float32), within=1e-3)


@pytest.mark.parametrize(
    ("name", "classes", "size"), [("cifar100_32px", 100, 32), ("tinyimagenet_64px", 200, 64)]
)
def test_parameter_counts_match_official_numbers(name, classes, size):
    net = students.build("convnet3", classes, size, 3)
    assert sum(p.numel() for p in net.parameters()) == NUMBERS["parameter_counts_width128"][name]


def augmented(case, augment, families, dtype):
    name, seed = case.split(".seed")
    torch.manual_seed(int(seed))
    images = DSA["input"].to(dtype)
    return augment(images) if name == "strategy" else families[name](images)


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("case", CASES)
def test_dsa_matches_official_numbers(case):
    agree(
        augmented(case, dsa.augment, dsa.FAMILIES, torch.float64),
        FLOAT64[f"dsa.{case}"],
        within=1e-9,
    )


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.split(".")[0] in ("scale", "rotate", "strategy")]
)
def test_plain_loop_dsa_matches_official_numbers(case):
    """The plain loop uses ddbench's code for the other families."""
    families = {"scale": reference.scale, "rotate": reference.rotate}
    agree(
        augmented(case, reference.draw, families, torch.float64),
        FLOAT64[f"dsa.{case}"],
        within=1e-9,
    )


@pytest.mark.parametrize("case", CASES)
def test_float32_dsa_makes_the_same_draws(case):
    agree(augmented(case, dsa.augment, dsa.FAMILIES, torch.float32), DSA[case], within=1e-3)


def trajectory(train, augment, dtype, monkeypatch):
    """Return the losses and final weights of the golden run.

    The run sets the seed before every epoch of one full batch, and takes the images in order.
    """
    net = students.build("convnet3", 10, 32, 3, width=8).to(dtype)
    net.load_state_dict(weights(TRAJECTORY))
    calls = iter(range(100))
    # Calls of randperm per epoch: a DataLoader makes two.
    per_epoch = 2 if train is reference.train else 1

    def seeded(count, generator=None):
        torch.manual_seed(1000 + next(calls) // per_epoch)
        return torch.arange(count)

    monkeypatch.setattr(torch, "randperm", seeded)
    losses = train(
        net,
        TRAJECTORY["images"].to(dtype),
        TRAJECTORY["labels"],
        ECCV2024,
        seed=0,
        epochs=20,
        augment=augment,
    )
    return losses, net.state_dict()


TRAINS = pytest.mark.parametrize("train", [training.train, reference.train], ids=["ours", "plain"])
AUGMENTS = pytest.mark.parametrize(
    ("augment", "name"), [(False, "noaug"), (True, "dsa")], ids=["noaug", "dsa"]
)


@pytest.mark.usefixtures("_float64")
@AUGMENTS
@TRAINS
def test_training_matches_official_trajectory(train, augment, name, monkeypatch):
    losses, last = trajectory(train, augment, torch.float64, monkeypatch)
    assert losses == pytest.approx(LOSSES[torch.float64][f"trajectory_{name}"], abs=1e-9)
    for key, value in weights(FLOAT64, f"final_{name}.").items():
        agree(last[key], value, within=1e-9)


@AUGMENTS
@TRAINS
def test_float32_training_matches_official_trajectory(train, augment, name, monkeypatch):
    """float32 draws other random numbers than float64. Real runs use these."""
    losses, _ = trajectory(train, augment, torch.float32, monkeypatch)
    assert losses == pytest.approx(LOSSES[torch.float32][f"trajectory_{name}"], abs=0.01)
