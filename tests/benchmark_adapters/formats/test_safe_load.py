"""Untrusted files: nothing in them is executed, and every problem is a one-line error."""

import pickle
import zipfile

import pytest
import torch
from attack import Attack

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.formats import eccv2024, safe_load
from benchmark_adapters.types import UserError


def zip_of_zeros(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda file: torch.save(Attack(str(file.parent / "executed")), file),
            "not readable as plain tensors",
        ),
        (
            lambda file: file.write_bytes(pickle.dumps(Attack(str(file.parent / "executed")))),
            "not readable as plain tensors",
        ),
        (lambda file: file.write_text("junk"), "not readable as plain tensors"),
        (lambda file: file.touch(), "not readable as plain tensors"),
        (zip_of_zeros, "its members are compressed, but torch.save never compresses them"),
        (
            lambda file: torch.save(torch.zeros(1).expand(10**12, 3, 28, 28), file),
            "is larger than 4 GiB",
        ),
        (
            lambda file: torch.save(torch.zeros(10, 1, 28, 28).to_sparse(), file),
            "should be a plain tensor",
        ),
        (lambda file: torch.save([1, 2], file), "should be a plain tensor, not list"),
        (
            lambda file: torch.save(torch.zeros(10, 1, 28, 28).cfloat(), file),
            "images of type complex64, expected float32",
        ),
        (
            lambda file: torch.save(torch.zeros(10, 3, 28, 28), file),
            r"shape \[10, 3, 28, 28\], expected \[n, 1, 28, 28\]",
        ),
        (
            lambda file: torch.save(torch.zeros(13, 1, 28, 28), file),
            r"shape \[13, 1, 28, 28\], expected the same number of images for each of 10 classes",
        ),
        (
            lambda file: torch.save(torch.zeros(0, 1, 28, 28), file),
            "expected the same number of images for each of 10 classes",
        ),
        (
            lambda file: torch.save(torch.zeros(()), file),
            "expected the same number of images for each of 10 classes",
        ),
    ],
)
def test_hostile_files_are_rejected_without_executing_anything(write, message, tmp_path):
    write(tmp_path / "fashionmnist.pt")
    with pytest.raises(UserError, match=message):
        eccv2024.read(tmp_path, FASHION_MNIST)
    assert not (tmp_path / "executed").exists()


def test_large_files_are_not_loaded(tmp_path, monkeypatch):
    torch.save(torch.zeros(10, 1, 28, 28), tmp_path / "fashionmnist.pt")
    monkeypatch.setattr(safe_load, "MAX_BYTES", 1000)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(UserError, match="the submission is larger than"):
        eccv2024.read(tmp_path, FASHION_MNIST)
