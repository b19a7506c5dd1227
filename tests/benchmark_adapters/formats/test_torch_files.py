"""Files of ``torch.save`` are read as PyTorch reads them, without its reader."""

import io
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from benchmark_adapters.formats import safe_load

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
BASE = torch.arange(24.0).reshape(2, 3, 4)


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def save(request, tmp_path):
    """Return a function that saves a value, and returns the file."""

    def save(value):
        file = tmp_path / "value.pt"
        torch.save(value, file, _use_new_zipfile_serialization=request.param)
        return file

    return save


@pytest.mark.parametrize("dtype", [*DTYPES, "bool", "complex64"])
def test_tensors_of_all_types_are_read(save, dtype):
    value = BASE.to(getattr(torch, dtype))
    read = safe_load.load_tensor(save(value))
    assert read.dtype == value.dtype
    assert torch.equal(read, value)


@pytest.mark.parametrize(
    "value",
    [
        BASE.transpose(0, 2),
        BASE[1:, ::2],
        BASE[:0],
        torch.tensor(3.0),
        torch.nn.Parameter(BASE),
        BASE.clone().requires_grad_(),
        BASE[..., :2].permute(2, 0, 1),
    ],
    ids=["transposed", "part", "empty", "scalar", "parameter", "gradient", "permuted"],
)
def test_views_and_parameters_are_read(save, value):
    read = safe_load.load_tensor(save(value))
    assert torch.equal(read, value.detach())
    assert not read.requires_grad


def test_containers_numbers_and_text_are_read(save):
    shared = torch.arange(10)
    value = {
        "list": [1, -(2**40), 2**70, 0.5, True, None, "text \u00e9", ()],
        "tuple": (shared[2:], shared[:3]),
        "ordered": OrderedDict(a=1, b=[shared]),
        "size": shared.shape,
        "number": np.float32(0.25),
    }
    read = safe_load.load_tensors(save(value))
    assert read["list"] == value["list"]
    assert [part.tolist() for part in read["tuple"]] == [list(range(2, 10)), [0, 1, 2]]
    assert read["ordered"]["a"] == 1
    assert torch.equal(read["ordered"]["b"][0], shared)
    assert (read["size"], read["number"]) == ((10,), 0.25)


def test_many_tensors_of_one_file_take_its_memory_once(save):
    shared = torch.zeros(1000)
    read = safe_load.load_tensors(save([shared[index:] for index in range(100)]))
    assert len({part.untyped_storage().data_ptr() for part in read}) == 1


def test_files_of_the_other_byte_order_are_read(tmp_path):
    saved = io.BytesIO()
    torch.save(BASE, saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("byteorder"):
                content = b"big"
            if name.endswith("data/0"):
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            new.writestr(name, content)
    assert torch.equal(safe_load.load_tensor(tmp_path / "big.pt"), BASE)
