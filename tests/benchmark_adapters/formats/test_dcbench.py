"""DC-BENCH's files."""

import codecs

import numpy as np
import pytest
import torch
from attack import Attack
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10, CIFAR100, TINY_IMAGENET
from benchmark_adapters.formats import dcbench, safe_load
from benchmark_adapters.scoring.images import normalise
from benchmark_adapters.types import UserError


def test_read_returns_the_last_pair_sorted_by_class(tmp_path):
    made = random_set(CIFAR10)
    right = normalise(made.images, CIFAR10)
    shuffled = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    pairs = [
        [torch.zeros_like(right), torch.arange(10)],
        [right[shuffled], torch.arange(10)[shuffled]],
    ]
    torch.save({"data": pairs, "accs_all_exps": {}}, tmp_path / "res_DC_CIFAR10_ConvNet_1ipc.pt")
    assert np.array_equal(dcbench.read(tmp_path, CIFAR10).images, made.images)
    assert dcbench.find(tmp_path, CIFAR100) == []


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        (CIFAR10, "res_SOMEMETHOD_CIFAR10_ConvNet_1ipc.pt"),
        (TINY_IMAGENET, "res_SOMEMETHOD_tinyimagenet_ConvNetD4_1ipc.pt"),
    ],
)
def test_exports_have_the_names_that_dc_bench_builds(dataset, name, tmp_path):
    dcbench.write({dataset.name: (dataset, random_set(dataset))}, tmp_path)
    assert dcbench.find(tmp_path, dataset) == [tmp_path / name]


@pytest.mark.parametrize(
    "name",
    [
        "res_DM_TinyImageNet_ConvNetD4_10ipc.pt",
        "res_DC_tinyimagenet_ConvNetD4_1ipc.pt",
        "res_MTT_Tiny_ConvNetD4_1ipc.pt",
        "res_DSA_tiny_imagenet_ConvNetBN_1ipc.pt",
    ],
)
def test_names_of_networks_and_datasets_in_use_are_found(name, tmp_path):
    for other in ("res_DM_CIFAR100_ConvNetD4_10ipc.pt", "res_DM_TinyImageNet_MLP_1ipc.pt"):
        (tmp_path / other).touch()
    (tmp_path / name).touch()
    assert dcbench.find(tmp_path, TINY_IMAGENET) == [tmp_path / name]
    assert dcbench.find(tmp_path, CIFAR10) == []


def with_scores(score):
    """Return the content of a result of DC, DSA or DM: accuracies of each run beside the images."""
    made = random_set(CIFAR10)
    images = normalise(made.images, CIFAR10)
    return made, {
        "data": [[images, torch.arange(10)]],
        "accs_all_exps": {"ConvNet": [score, score]},
    }


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    "score", [np.float64(0.44), np.float32(0.5), np.int64(3), np.bool_(True)], ids=repr
)
def test_numpy_numbers_beside_the_images_are_read(tmp_path, is_zip, score):
    made, content = with_scores(score)
    file = tmp_path / "res_DSA_CIFAR10_ConvNet_1ipc.pt"
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    assert np.array_equal(dcbench.read(tmp_path, CIFAR10).images, made.images)
    assert safe_load.load_tensors(file)["accs_all_exps"] == {"ConvNet": [score, score]}


def test_numbers_of_an_older_numpy_are_read(tmp_path):
    """numpy 2 moved the function that pickles name. In this layout of files, the name is text."""
    made, content = with_scores(np.float64(0.44))
    file = tmp_path / "res_DSA_CIFAR10_ConvNet_1ipc.pt"
    torch.save(content, file, _use_new_zipfile_serialization=False)
    written = file.read_bytes()
    assert b"numpy._core.multiarray\nscalar" in written
    file.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert np.array_equal(dcbench.read(tmp_path, CIFAR10).images, made.images)


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", None], dtype=object),
        np.random.default_rng(0),
        codecs.lookup("rot13"),
    ],
    ids=["object array", "generator", "codec"],
)
def test_other_objects_in_their_place_are_refused(tmp_path, is_zip, value):
    _, content = with_scores(value)
    file = tmp_path / "res_DSA_CIFAR10_ConvNet_1ipc.pt"
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match="not readable as plain tensors"):
        dcbench.read(tmp_path, CIFAR10)


@pytest.mark.parametrize("is_zip", [True, False])
def test_an_attack_in_their_place_is_not_executed(tmp_path, is_zip):
    _, content = with_scores(Attack(str(tmp_path / "executed")))
    file = tmp_path / "res_DSA_CIFAR10_ConvNet_1ipc.pt"
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(UserError, match="not readable as plain tensors"):
        dcbench.read(tmp_path, CIFAR10)
    assert not (tmp_path / "executed").exists()


def test_read_rejects_several_matching_files(tmp_path):
    for method in ("A", "B"):
        torch.save({"data": []}, tmp_path / f"res_{method}_CIFAR10_ConvNet_1ipc.pt")
    with pytest.raises(UserError, match="more than one res_METHOD_CIFAR10"):
        dcbench.read(tmp_path, CIFAR10)
