"""Read the files of ``torch.save`` as data: tensors, numbers, text and plain containers.

PyTorch's own reader is not used. It sees other members of a zip file than Python does, lets a
stream call functions that allocate, and gives tensors more memory than a file holds.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from benchmark_adapters.formats import pickled, zips
from benchmark_adapters.formats.bounds import Refused, fill

if TYPE_CHECKING:
    import torch

ZIP = b"PK\x03\x04"
PICKLE, BYTE_ORDER = "data.pkl", "byteorder"
# Bytes of the pickle that describes the tensors. Those of results take a few kilobytes.
MAX_PICKLE_BYTES = 16 * 2**20
MAX_DIMENSIONS = 8
MAX_BYTES_OBJECT = 1024
# The file without a zip directory, which PyTorch wrote before version 1.6, starts with these.
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Storage class -> name of the torch dtype.
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
NUMPY_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


def read(file: BinaryIO, max_bytes: int) -> Any:
    """Return what ``torch.save`` wrote, with tensors on the CPU.

    Raises:
        Refused: the file holds something else, or more than ``max_bytes``.
        zipfile.BadZipFile, RuntimeError: it is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    is_zip = file.read(len(ZIP)) == ZIP
    file.seek(0)
    if not is_zip:
        return _read_legacy(file, size)
    with zips.opened(file, max_bytes) as archive:
        return _read_zip(archive, size)


def _read_zip(archive: zipfile.ZipFile, size: int) -> Any:
    """Read a folder with ``data.pkl`` and a member ``data/KEY`` for each storage."""
    members = {member.filename: member for member in archive.infolist()}
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise Refused("its members are compressed, but torch.save never compresses them")
    roots = [name.removesuffix(PICKLE) for name in members if re.fullmatch(f"[^/]+/{PICKLE}", name)]
    if len(roots) != 1:
        raise Refused(f"it has {len(roots)} members named FOLDER/{PICKLE}, expected one")
    root = roots[0]
    if members[root + PICKLE].file_size > MAX_PICKLE_BYTES:
        raise Refused(f"its {PICKLE} is larger than {MAX_PICKLE_BYTES / 2**20:g} MiB")
    is_swapped = root + BYTE_ORDER in members and archive.read(root + BYTE_ORDER) == b"big"

    def load(storage: _Storage) -> None:
        with archive.open(f"{root}data/{storage.key}") as member:
            fill(storage.buffer, member)
        if is_swapped:
            storage.values.untyped_storage().byteswap(storage.values.dtype)

    storages = _Storages(size, load)
    stream = io.BytesIO(archive.read(root + PICKLE))
    return pickled.read(stream, _KNOWN, storages.find)


def _read_legacy(file: BinaryIO, size: int) -> Any:
    """Read three pickles of facts, that of the object, that of the keys, and then the storages."""
    stream = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    storages = _Storages(size, lambda storage: None)

    def next_pickle() -> Any:
        return pickled.read(stream, _KNOWN, storages.find)

    if next_pickle() != LEGACY_MAGIC or next_pickle() != LEGACY_PROTOCOL:
        raise Refused("not written by torch.save")
    next_pickle()
    content, keys = next_pickle(), next_pickle()
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages.by_key):
        raise Refused("its list of storages is not that of its tensors")
    file.seek(stream.tell())
    for key in keys:
        storage = storages.by_key[key]
        if struct.unpack("<q", file.read(8)) != (len(storage.values),):
            raise Refused("a storage has another size than its tensors say")
        fill(storage.buffer, file)
    return content


class _Storage:
    """The values behind one or more tensors: ``values`` [n] shares its memory with ``buffer``."""

    def __init__(self, key: str, dtype: torch.dtype, count: int) -> None:
        import torch

        self.key = key
        content = bytearray(count * dtype.itemsize)
        self.buffer = memoryview(content)
        self.values = (
            torch.frombuffer(content, dtype=dtype) if count else torch.empty(0, dtype=dtype)
        )


class _Storages:
    """The storages of a file, which together are no larger than the file."""

    def __init__(self, size: int, load: Callable[[_Storage], None]) -> None:
        self.left, self.load = size, load
        self.by_key: dict[str, _Storage] = {}

    def find(self, persistent_id: Any) -> _Storage:
        """Return the storage that an ID in a pickle stands for; load it when it comes first."""
        if not isinstance(persistent_id, tuple) or len(persistent_id) not in (5, 6):
            raise Refused("it refers to something else than tensors")
        kind, dtype, key, _, count, *view = persistent_id
        if kind != "storage" or not isinstance(dtype, _Dtype) or not isinstance(key, str):
            raise Refused("it refers to something else than tensors")
        if any(view) or type(count) is not int or count < 0:
            raise Refused("it has a storage without a size, or a view of one")
        if key not in self.by_key:
            self.left -= count * dtype.torch.itemsize
            if self.left < 0:
                raise Refused("its tensors are larger than the file")
            self.by_key[key] = _Storage(key, dtype.torch, count)
            self.load(self.by_key[key])
        return self.by_key[key]


class _Dtype:
    """A class of storages."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def torch(self) -> torch.dtype:
        import torch

        return getattr(torch, self.name)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> torch.Tensor:
    """Return a view of a storage: what stands for PyTorch's function that makes a tensor.

    ``rest`` holds whether it needs gradients, hooks, and metadata of complex numbers.
    """
    if not isinstance(storage, _Storage) or any(rest[2:]):
        raise Refused("it has a tensor of an unusual kind")
    sizes = [part for part in (shape, strides) if isinstance(part, tuple)]
    if len(sizes) < 2 or max(map(len, sizes)) > MAX_DIMENSIONS:
        raise Refused("it has a tensor without a shape, or with too many dimensions")
    if not all(type(one) is int and one >= 0 for one in (offset, *shape, *strides)):
        raise Refused("it has a tensor of a negative size")
    if math.prod(shape) > len(storage.values):
        raise Refused(
            f"a tensor repeats its {len(storage.values)} values; save a copy of it, "
            f"tensor.clone(); its shape is {list(shape)}"
        )
    return storage.values.as_strided(shape, strides, offset)


def _numpy_scalar(dtype: Any, content: Any) -> np.generic:
    """Return a number of numpy, which many tools store beside the images."""
    if not isinstance(dtype, _NumpyDtype) or not isinstance(content, bytes):
        raise Refused("it has an object of numpy that is no number")
    return np.frombuffer(content, dtype.numpy)[0]


class _NumpyDtype(pickled.Stateful):
    """A dtype of numpy. Its state is ``(version, byte order, ...)``."""

    def __init__(self, name: Any) -> None:
        if name not in NUMPY_TYPES:
            raise Refused("it has an object of numpy that is no number")
        self.name = name

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.name).newbyteorder(self.state[1] if self.state else "=")


def _latin1(text: Any, encoding: Any) -> bytes:
    """Return the bytes that pickles of protocol 2 hold as text."""
    if not isinstance(text, str) or len(text) > MAX_BYTES_OBJECT or encoding != "latin1":
        raise Refused("it has bytes that are no number of numpy")
    return text.encode("latin1")


# What stands for the names in a stream. Newer versions of numpy have moved the function.
_KNOWN: Mapping[str, Any] = {
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *rest: tensor,
    "torch Size": lambda sizes: sizes,
    "collections OrderedDict": lambda *pairs: {},
    "numpy.core.multiarray scalar": _numpy_scalar,
    "numpy._core.multiarray scalar": _numpy_scalar,
    "numpy dtype": lambda name, *rest: _NumpyDtype(name),
    "_codecs encode": _latin1,
    **{f"torch {name}": _Dtype(dtype) for name, dtype in STORAGES.items()},
    **{f"torch.cuda {name}": _Dtype(dtype) for name, dtype in STORAGES.items()},
}
