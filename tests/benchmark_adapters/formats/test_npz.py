"""Files of FRePo and KIP."""

import numpy as np
import pytest
from attack import Attack
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.formats import npz, safe_load
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.types import UserError

HARD = np.eye(10, dtype=np.float32)


def channels_last(made):
    return normalise(made.images, CIFAR10).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("image", "label"), HARD - 0.1),
        (("images", "labels"), (HARD - 0.1).astype(">f8")),
        (("images", "labels"), HARD),
        (("images", "labels"), np.arange(10)),
    ],
    ids=["FRePo", "KIP", "one-hot", "integers"],
)
def test_labels_of_all_kinds_are_read(tmp_path, names, labels):
    made = random_set(CIFAR10)
    content = dict(zip(names, (channels_last(made), labels), strict=True))
    np.savez(tmp_path / "step000500.npz", **content)
    read = npz.read(tmp_path, CIFAR10)
    assert np.array_equal(read.images, made.images)
    assert read.labels.tolist() == list(range(10))


def test_learned_labels_are_refused(tmp_path):
    learned = HARD - 0.1 + np.random.default_rng(0).normal(0, 0.01, (10, 10))
    np.savez(tmp_path / "a.npz", image=channels_last(random_set(CIFAR10)), label=learned)
    with pytest.raises(UserError, match="labels are learned or soft, but recipes train with hard"):
        npz.read(tmp_path, CIFAR10)


def test_hostile_files_are_refused(tmp_path, monkeypatch):
    file = tmp_path / "a.npz"
    np.savez(file, image=np.array([Attack(str(tmp_path / "executed"))]), label=HARD)
    with pytest.raises(UserError, match="not readable as arrays"):
        npz.read(file, CIFAR10)
    assert not (tmp_path / "executed").exists()
    # 12 MB of zeros take 12 kB in the file.
    np.savez_compressed(file, image=np.zeros((1000, 32, 32, 3), np.float32), label=HARD)
    monkeypatch.setattr(safe_load, "MAX_BYTES", 2**20)
    with pytest.raises(UserError, match="when unpacked"):
        npz.read(file, CIFAR10)
    np.savez(file, image=np.full((10, 32, 32, 3), "text"), label=HARD)
    with pytest.raises(UserError, match="not readable as arrays"):
        npz.read(file, CIFAR10)
    file.write_bytes(b"junk")
    with pytest.raises(UserError, match="not readable as arrays"):
        npz.read(file, CIFAR10)
    np.savez(file, pictures=HARD)
    with pytest.raises(
        UserError, match="expected image and label, or images and labels; found pic"
    ):
        npz.read(file, CIFAR10)
