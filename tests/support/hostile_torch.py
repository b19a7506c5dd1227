"""Hostile files of ``torch.save``, with and without a zip directory."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attack import Attack
from hostile_parts import Hostile, repeated_directory, set_file, with_sizes, zipped

COUNT = 20
SHAPE = (COUNT, 1, 28, 28)
LEGACY = {"_use_new_zipfile_serialization": False}


def saved(value: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.save(value, target, **options)
    return target.getvalue()


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_pickle(stream: bytes) -> bytes:
    """Return a file of ``torch.save`` with another pickle."""
    return zipped(members_of(saved(torch.zeros(SHAPE))) | {"archive/data.pkl": stream})


def legacy(stream: bytes) -> bytes:
    """Return a file without a zip directory with another pickle of the object."""
    start = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*start, stream, pickle.dumps([], 2)])


def call(name: str, arguments: bytes) -> bytes:
    """Return the opcodes that call a function; ``arguments`` leaves a tuple on the stack."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n" + arguments + b"R"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def storage(count: int, key: str = "0", view: bytes = b"") -> bytes:
    names = text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    return b"(" + names + integer(count) + view + b"tQ"


def tensor(count: int, shape: Iterable[int], key: str = "0", view: bytes = b"") -> bytes:
    """Return the opcodes of a tensor of some shape over a storage of some size."""
    sizes = b"(" + b"".join(map(integer, shape)) + b"t"
    strides = b"(" + integer(0) * len(list(shape)) + b"t"
    parts = storage(count, key, view) + integer(0) + sizes + strides + b"\x89N"
    return call("torch._utils _rebuild_tensor_v2", b"(" + parts + b"t")


def stream(opcodes: bytes) -> bytes:
    return b"\x80\x02" + opcodes + b"."


def torch_file(name: str, make: Any, says: str, is_slow: bool = False) -> Hostile:
    """Return an attack whose file has the bytes that ``make(folder)`` returns."""
    return Hostile(
        f"torch file, {name}",
        "eccv2024",
        lambda folder: set_file(folder, make(folder)),
        says,
        is_slow=is_slow,
    )


def executes(folder: Path) -> Attack:
    return Attack(str(folder / "executed"))


def renamed_in_header(content: bytes) -> bytes:
    """Return a zip file whose first local header has another name than its directory."""
    return content.replace(b"archive/data.pkl", b"archive/evil.pkl", 1)


def as_tar(folder: Path) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("pickle")
        member.pax_headers = {"comment": "=" * 100_000}
        archive.addfile(member)
    return target.getvalue()


def colliding_keys() -> bytes:
    """Return a dict of numbers that all have the same hash."""
    step = 2**61 - 1
    pairs = b"".join(integer(step * number) + b"N" for number in range(1, 50_001))
    return b"}(" + pairs + b"u"


def dtype_with_state() -> bytes:
    """Return a number of numpy whose dtype is told to be a pointer."""
    dtype = call("numpy dtype", b"(" + text("f8") + b"\x89\x88t")
    state = b"(" + integer(3) + text("<") + b"NNN" + integer(8) + integer(8) + integer(0x7F) + b"tb"
    content = call("_codecs encode", b"(" + text("A" * 8) + text("latin1") + b"t")
    return call("numpy.core.multiarray scalar", b"(" + dtype + state + content + b"t")


def quantised() -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(torch.zeros(SHAPE), 0.1, 0, torch.quint8)


KINDS = {
    "sparse": lambda: torch.zeros(SHAPE).to_sparse(),
    "quantised": quantised,
    "meta": lambda: torch.zeros(SHAPE, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
}
EXECUTED = "names posix.mkdir, which plain tensors don't need"
LARGER = "its tensors are larger than the file"
TORCH_FILES = (
    torch_file("code in its pickle", lambda folder: saved(executes(folder)), EXECUTED),
    torch_file(
        "code, no zip directory", lambda folder: saved(executes(folder), **LEGACY), EXECUTED
    ),
    torch_file(
        "a pickle with code alone", lambda folder: pickle.dumps(executes(folder)), "damaged"
    ),
    torch_file(
        "code beside the images",
        lambda folder: saved({"images": torch.zeros(SHAPE), "other": executes(folder)}),
        EXECUTED,
    ),
    torch_file(
        "code in the first of two data.pkl",
        lambda folder: zipped(
            [
                ("archive/data.pkl", pickle.dumps(executes(folder), 2)),
                *members_of(saved(torch.zeros(SHAPE))).items(),
            ]
        ),
        "two members are named archive/data.pkl",
    ),
    torch_file(
        "members alike but for the case",
        lambda _: zipped(members_of(saved(torch.zeros(SHAPE))) | {"archive/DATA.PKL": b""}),
        "",
    ),
    torch_file(
        "a name in a header that its directory lacks",
        lambda _: renamed_in_header(saved(torch.zeros(SHAPE))),
        "not readable as plain tensors (BadZipFile",
    ),
    torch_file(
        "members that overlap",
        lambda _: repeated_directory(
            zipped({"archive/data/0": bytes(60_000)}),
            (b"archive/data/%c" % letter for letter in b"0123456789"),
        ),
        "its members overlap",
    ),
    torch_file(
        "a directory that lies about sizes",
        lambda _: with_sizes(zipped(members_of(saved(torch.zeros(SHAPE)))), 2**31),
        "larger than 4 GiB when unpacked",
    ),
    torch_file(
        "compressed members",
        lambda _: zipped({"archive/data.pkl": bytes(10_000_000)}, zipfile.ZIP_DEFLATED),
        "members are compressed",
    ),
    torch_file("a pickle of 20 MB", lambda _: with_pickle(bytes(20_000_000)), "larger than 16 MiB"),
    torch_file(
        "a pickle of 16 million dicts",
        lambda _: with_pickle(b"\x80\x02" + b"}" * 16_000_000),
        "more than 1,000,000 opcodes",
        is_slow=True,
    ),
    torch_file(
        "a view of a terabyte",
        lambda _: saved(torch.zeros(1).expand(10**12, 1, 28, 28)),
        "repeats its 1 values",
    ),
    torch_file(
        "a storage of a terabyte", lambda _: with_pickle(stream(tensor(2**38, SHAPE))), LARGER
    ),
    torch_file(
        "many storages of the same bytes",
        lambda _: with_pickle(
            stream(b"(" + b"".join(tensor(15_680, (1,), str(key)) for key in range(50)) + b"t")
        ),
        LARGER,
    ),
    torch_file(
        "a storage of a terabyte, no zip directory",
        lambda _: legacy(stream(tensor(2**38, SHAPE, view=b"N"))),
        LARGER,
    ),
    torch_file(
        "a tensor larger than its storage, no zip directory",
        lambda _: legacy(stream(tensor(4, (2**30,), view=b"N"))),
        "repeats its 4 values",
    ),
    torch_file(
        "a storage that never comes, no zip directory",
        lambda _: legacy(stream(tensor(4, (4,), view=b"N"))),
        "list of storages is not that of its tensors",
    ),
    torch_file(
        "a shape of a googol",
        lambda _: with_pickle(stream(tensor(15_680, (10**100, 10**100)))),
        "repeats its 15680 values",
    ),
    torch_file(
        "a negative shape",
        lambda _: with_pickle(stream(tensor(15_680, (-20, -784)))),
        "a tensor of a negative size",
    ),
    torch_file(
        "a billion images without pixels",
        lambda _: with_pickle(stream(tensor(15_680, (10**9, 0)))),
        "expected the same number of images",
    ),
    torch_file(
        "a shape of 100,000 dimensions",
        lambda _: with_pickle(stream(tensor(15_680, [1] * 100_000))),
        "too many dimensions",
    ),
    torch_file(
        "tuples in tuples, 100,000 deep",
        lambda _: with_pickle(stream(b"N" + b"\x85" * 100_000)),
        "should be a plain tensor, not tuple",
    ),
    torch_file(
        "a tuple of 2**60 parts",
        lambda _: with_pickle(stream(b"Nq\x00h\x00\x86" + b"q\x00h\x00\x86" * 59)),
        "should be a plain tensor, not tuple",
    ),
    torch_file(
        "keys that collide",
        lambda _: with_pickle(stream(colliding_keys())),
        "should be a plain tensor, not dict",
    ),
    torch_file(
        "the largest memo index",
        lambda _: with_pickle(stream(b"Nr\xff\xff\xff\xff")),
        "should be a plain tensor, not NoneType",
    ),
    torch_file(
        "an array of a terabyte",
        lambda _: with_pickle(stream(call("__builtin__ bytearray", b"(" + integer(2**40) + b"t"))),
        "names __builtin__.bytearray",
    ),
    torch_file(
        "bytes that double with every call",
        lambda _: with_pickle(
            stream(call("_codecs encode", b"(" + text("A" * 1000) + text("hex") + b"t"))
        ),
        "bytes that are no number of numpy",
    ),
    torch_file(
        "a number of numpy of a gigabyte",
        lambda _: with_pickle(stream(call("numpy dtype", b"(" + text("V1000000000") + b"t"))),
        "an object of numpy that is no number",
    ),
    torch_file(
        "a dtype of numpy with forged flags",
        lambda _: with_pickle(stream(dtype_with_state())),
        "should be a plain tensor, not float64",
    ),
    torch_file(
        "calls with 100,000 arguments",
        lambda _: with_pickle(
            stream(call("collections OrderedDict", b"(" + b"N" * 100_000 + b"t"))
        ),
        "too many arguments",
    ),
    torch_file(
        "an object array",
        lambda folder: saved(np.array([executes(folder)])),
        "names numpy._core.multiarray._reconstruct",
    ),
    torch_file(
        "control characters in a name",
        lambda _: with_pickle(stream(b"c\x1b[2J\x07os\nsystem\n")),
        "names [2J os.system, which plain tensors don't need",
    ),
    torch_file("a tar archive", as_tar, "damaged"),
    torch_file(
        "random bytes",
        lambda _: np.random.default_rng(0).bytes(10_000),
        "not readable as plain tensors",
    ),
    torch_file("half of it", lambda _: saved(torch.zeros(SHAPE))[:30_000], "not readable as plain"),
    torch_file(
        "a complex tensor", lambda _: saved(torch.zeros(SHAPE).cfloat()), "images of type complex64"
    ),
    *(
        torch_file(f"a {kind} tensor", lambda _, make=make: saved(make()), "names torch._utils._re")
        for kind, make in KINDS.items()
    ),
)
