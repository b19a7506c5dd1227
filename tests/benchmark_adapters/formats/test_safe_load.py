"""Untrusted files: nothing in them is executed, and every problem is a one-line error."""

import os
import pickle
import shutil
import zipfile

import pytest
import torch
from attack import Attack

from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.formats import eccv2024, safe_load, torch_files
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
            r"repeats its 1 values; save a copy of it, tensor\.clone\(\)",
        ),
        (
            lambda file: torch.save(torch.zeros(10, 1, 28, 28).to_sparse(), file),
            r"it names torch\._utils\._rebuild_sparse_tensor, which plain tensors don't need",
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
    monkeypatch.setattr(torch_files, "read", None)
    with pytest.raises(UserError, match="the submission is larger than"):
        eccv2024.read(tmp_path, FASHION_MNIST)


def test_a_file_that_becomes_a_pipe_or_a_link_is_not_read(tmp_path, monkeypatch):
    """Somebody replaces it after the looks at its path, which find a plain file."""
    file = tmp_path / "fashionmnist.pt"
    monkeypatch.setattr(safe_load, "refuse_link", lambda path: None)
    monkeypatch.setattr(type(file), "is_symlink", lambda path: False)
    os.mkfifo(file)
    with pytest.raises(UserError, match=r"fashionmnist\.pt can't be opened: not a regular file"):
        safe_load.load_tensor(file)
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"fashionmnist\.pt can't be opened: Too many levels"):
        safe_load.load_tensor(file)


def snapshot(tmp_path):
    """Return a file of a snapshot, in the layout of the Hugging Face Hub's cache."""
    repository = tmp_path / "hub" / "datasets--someone--set"
    (repository / "blobs").mkdir(parents=True)
    torch.save(torch.zeros(3), repository / "blobs" / "0123abcd")
    file = repository / "snapshots" / "ffff" / "sets" / "images.pt"
    file.parent.mkdir(parents=True)
    file.symlink_to("../../../blobs/0123abcd")
    return repository, file


def test_links_of_a_snapshot_are_followed(tmp_path):
    _, file = snapshot(tmp_path)
    assert safe_load.load_tensor(file).shape == (3,)
    # The cache may lie behind a link itself.
    (tmp_path / "cache").symlink_to(tmp_path / "hub")
    assert safe_load.load_tensor(tmp_path / "cache" / file.relative_to(tmp_path / "hub")).ndim == 1


def test_links_that_leave_the_repository_are_refused(tmp_path):
    repository, file = snapshot(tmp_path)
    secret = tmp_path / "secret" / "0123abcd"
    secret.parent.mkdir()
    torch.save(torch.zeros(3), secret)
    file.unlink()
    file.symlink_to(secret)
    with pytest.raises(UserError, match=r"images\.pt is a symbolic link, .*; put a copy"):
        safe_load.load_tensor(file)
    file.unlink()
    file.symlink_to("../../../blobs/0123abcd")
    shutil.rmtree(repository / "blobs")
    (repository / "blobs").symlink_to(secret.parent)
    with pytest.raises(UserError, match="is a symbolic link"):
        safe_load.load_tensor(file)
