"""Hostile arrays: numpy's ``.npz`` and safetensors."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from attack import Attack
from hostile_parts import Hostile, set_file, written, zipped
from sample_sets import real_set

COUNT = 20
IMAGES = np.zeros((COUNT, 28, 28, 1), np.float32)
LABELS = np.eye(10, dtype=np.float32).repeat(2, 0)


def npz_bytes(**arrays: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    """Return an array with a header of its own."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def header(shape: object, dtype: object = "<f4") -> str:
    return f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}\n"


def npz(name: str, make: Callable[[Path], bytes], says: str) -> Hostile:
    return Hostile(
        f"npz, {name}", "npz", lambda folder: set_file(folder, make(folder), "images.npz"), says
    )


def with_image(content: bytes, method: int = zipfile.ZIP_STORED) -> Callable[[Path], bytes]:
    """Return a function that makes a file whose images have this content."""
    labels = io.BytesIO()
    np.save(labels, LABELS)
    return lambda _: zipped({"image.npy": content, "label.npy": labels.getvalue()}, method)


NPZ_FILES = (
    npz(
        "code in an object array",
        lambda folder: npz_bytes(image=np.array([Attack(str(folder / "executed"))]), label=LABELS),
        "image has values of type object",
    ),
    npz("a shape of a terabyte", with_image(npy(header((2**38,)))), "not as many values as its"),
    npz(
        "a compressed shape of a terabyte",
        with_image(npy(header((2**38,))), zipfile.ZIP_DEFLATED),
        "not as many values as its",
    ),
    npz("a negative shape", with_image(npy(header((-4, -1)), bytes(16))), "not readable as arrays"),
    npz("a header of brackets", with_image(npy("(" * 9000)), "not readable as arrays"),
    npz("a header of 60,000 characters", with_image(npy(" " * 60_000)), "not readable as arrays"),
    npz(
        "records of many fields",
        with_image(npy(header((1,), [(str(number), "<f4") for number in range(400)]), bytes(1600))),
        "image has values of type [(",
    ),
    npz("text", lambda _: npz_bytes(image=np.full((20, 28), "x"), label=LABELS), "of type <U1"),
    npz("an unknown version", with_image(b"\x93NUMPY\x09\x00" + bytes(9)), "version (9, 0)"),
    npz("a plain array", lambda _: npy(header((2**38,))), "not readable as arrays (BadZipFile"),
)


def safetensors(entries: Any, content: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + content


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


PIXELS, ENDS = COUNT * 784, COUNT * 784 + COUNT * 8
ENTRIES = {
    "images": entry("U8", [COUNT, 1, 28, 28], 0, PIXELS),
    "labels": entry("I64", [COUNT], PIXELS, ENDS),
}


def content() -> bytes:
    made = real_set(2)
    return made.images.tobytes() + made.labels.tobytes()


def native(name: str, make: Callable[[], bytes], says: str) -> Hostile:
    return Hostile(
        f"safetensors, {name}",
        "native",
        lambda folder: set_file(folder, make(), "images.safetensors"),
        says,
    )


def changed(**entries: Any) -> Callable[[], bytes]:
    """Return a function that makes a set with other entries in its header."""
    return lambda: safetensors(ENTRIES | entries, content() + b"\xff" * COUNT)


def manifest(name: str, make: Callable[[Path], object], says: str) -> Hostile:
    """Return an attack with a good set whose manifest ``make(path)`` writes."""

    def write(folder: Path) -> Path:
        path = written("native", folder) / "manifest.json"
        path.unlink()
        make(path)
        return folder

    return Hostile(f"manifest, {name}", "native", write, says)


SAFETENSORS = (
    native("a header of an exabyte", lambda: struct.pack("<Q", 2**60), "header is larger than"),
    native("a header of 2 MiB", lambda: safetensors(b" " * 2**21), "its header is larger than"),
    native("a header 100,000 deep", lambda: safetensors(b"[" * 100_000), "not readable as safe"),
    native(
        "an entry 100,000 deep",
        lambda: safetensors(b'{"images":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001),
        "not readable as safetensors",
    ),
    native(
        "a shape of a terabyte",
        changed(images=entry("U8", [2**40, 1, 28, 28], 0, PIXELS)),
        "not as many bytes as its shape",
    ),
    native(
        "offsets outside the file",
        changed(images=entry("U8", [2**30, 1, 28, 28], 0, 2**30 * 784)),
        "images lies outside the file",
    ),
    native(
        "negative offsets",
        changed(images=entry("U8", [COUNT, 1, 28, 28], -PIXELS, 0)),
        "images lies outside the file",
    ),
    native(
        "a negative shape",
        changed(images=entry("U8", [-COUNT, -1, 28, 28], 0, PIXELS)),
        "not as many bytes as its shape",
    ),
    native("an unknown type", changed(labels=entry("F4", [COUNT], 0, 80)), "labels of type F4"),
    native(
        "a type with control characters",
        changed(labels=entry("\x1b[2J\n", [COUNT], 0, 80)),
        "labels of type [2J",
    ),
    native(
        "arrays that overlap",
        changed(labels=entry("I64", [COUNT], 0, COUNT * 8)),
        "expected 0 to 9",
    ),
    native(
        "truth values that are neither 0 nor 1",
        changed(generated=entry("BOOL", [COUNT], ENDS, ENDS + COUNT)),
        "",
    ),
    native("half of it", lambda: changed()()[:9000], "lies outside the file"),
    manifest("nested 100,000 deep", lambda path: path.write_text("[" * 100_000), "manifest.json: "),
    manifest("2 MiB", lambda path: path.write_bytes(b" " * 2**21), "larger than 1 MiB"),
    manifest("NaN", lambda path: path.write_text('{"dataset": NaN}'), "manifest.json: "),
    manifest("wrong types", lambda path: path.write_text('{"class_names": 3}'), "Expected `array`"),
    manifest(
        "a dataset with control characters",
        lambda path: path.write_text('{"dataset": "\\u001b[2J\\n\\u0007"}'),
        "the set is for [2J, not for fashion-mnist",
    ),
    manifest("a pipe", os.mkfifo, "not a regular file"),
    manifest("a link", lambda path: path.symlink_to("/etc/passwd"), "is a symbolic link"),
)
