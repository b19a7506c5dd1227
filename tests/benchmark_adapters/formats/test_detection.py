"""Formats told by the names of files."""

import pytest
import torch
from sample_sets import random_set, real_set

from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from benchmark_adapters.formats import FORMATS
from benchmark_adapters.formats.detection import content_of, detect
from benchmark_adapters.plugins import Registry
from benchmark_adapters.types import UserError

FORMAT = Registry("formats", {format.name: format for format in FORMATS})


@pytest.mark.parametrize("name", FORMAT)
def test_format_of_a_folder_and_of_its_files(name, tmp_path):
    made = real_set(2)
    FORMAT[name].write({"fashion-mnist": (FASHION_MNIST, made)}, tmp_path)
    wanted = [CIFAR100, FASHION_MNIST]
    assert detect(tmp_path, wanted, FORMAT).name == name
    for file in FORMAT[name].find(tmp_path, FASHION_MNIST):
        if file.suffix in (".pt", ".npz"):
            assert detect(file, wanted, FORMAT).name == name
            assert (FORMAT[name].read(file, FASHION_MNIST).images == made.images).all()


def test_what_names_do_not_tell_is_asked(tmp_path):
    file = tmp_path / "mine.pt"
    torch.save(torch.zeros(1), file)
    with pytest.raises(UserError, match="name the format with --format; known: native, ecc"):
        detect(file, [CIFAR10], FORMAT)
    sets = {"cifar10": (CIFAR10, random_set(CIFAR10))}
    for name in ("mtt", "npz"):
        FORMAT[name].write(sets, tmp_path)
    with pytest.raises(UserError, match=r"could be mtt or npz: .* known: mtt, npz"):
        detect(tmp_path, [CIFAR10], FORMAT)


def test_a_set_some_folders_deeper_is_found(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "__MACOSX").mkdir()
    FORMAT["idc"].write({"cifar10": (CIFAR10, random_set(CIFAR10))}, deep)
    assert detect(tmp_path, [CIFAR10], FORMAT).name == "idc"
    assert content_of(tmp_path, CIFAR10, FORMAT["idc"]) == deep
    assert content_of(deep, CIFAR10, FORMAT["idc"]) == deep
