"""Change files by their structure: where random bytes would only damage what is checked first.

Each function takes a random generator and ``raw``, which changes bytes somehow.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

from hostile_pictures import PNG, chunk
from hostile_torch import call, integer, text

Raw = Callable[[bytes], bytes]
INTEGERS = (0, 1, -1, 2, 9, 10, 28, 255, 784, 10**6, 10**9, 2**31, 2**32, 2**62, 2**63 - 1, 10**30)
NUMBERS = (*INTEGERS, 0.5, -0.5, 1e-300, 5e-324, 1e18, 1e300, 1.0000001)
TEXTS = (
    "", " ", "a", "\u200b", "\u202e", "\x00", "\x1b[2J", "\n", "=1+1", "_x", "$\\frac{x}$", "<b>",
    "{{ x }}", "\\", "|", "\ud800", "\udcff", "\U0001f600", "0", "٣", "ß" * 40, "W" * 300, "..",
    "/", "-1", "2026-01-01T00:00:00Z", "0000-00-00", "1e999", "NaN", "IPC 10",
)  # fmt: skip
# Opcodes that mean something to a reader of torch files.
OPCODES = (
    *(bytes([code]) for code in b"()]}N\x88\x89tRQbsuae\x85\x86\x870."),
    *map(integer, INTEGERS),
    *map(text, ("storage", "0", "1", "cpu", "latin1", "hex", "f8", "V9", ">", "=", "")),
    b"G\x7f\xf8" + bytes(6),
    b"ctorch\nFloatStorage\n",
    b"ctorch\nBoolStorage\n",
    b"ctorch\nComplexFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n",
    b"cnumpy\ndtype\n",
    b"cnumpy._core.multiarray\nscalar\n",
    b"c_codecs\nencode\n",
    call("torch Size", b"()t"),
)


def content(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change a file by what it begins with."""
    if random.random() < 0.1:
        return raw(data)
    if data.startswith(b"PK\x03\x04"):
        return zipped(random, raw, data)
    if data.startswith(b"\x80\x02"):
        return pickled(random, raw, data)
    if data.startswith(b"\x93NUMPY"):
        return npy(random, raw, data)
    if data.startswith(PNG):
        return png(random, raw, data)
    if data[8:9] == b"{":
        return safetensors(random, raw, data)
    if data[:1] in (b"{", b"["):
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(json_value(random, json.loads(data))).encode()
    return raw(data)


def json_value(random: Random, value: Any) -> Any:
    """Return JSON with another value, a value twice, or one less, at a random place."""
    root = [copy.deepcopy(value)]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        if root:
            parent, key = random.choice(list(_places(root)))
            _change(random, parent, key)
    return root[0] if root else None


def _places(value: Any) -> Any:
    """Yield the container and the key of each value in a list or dict."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _change(random: Random, parent: Any, key: Any) -> None:
    """Change the value at one place, mostly to one of its own type."""
    value = parent[key]
    if random.random() < 0.1:
        del parent[key]
    elif random.random() < 0.1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(value))
    elif random.random() < 0.1:
        parent[key] = random.choice((None, True, False, [], {}, [[]], "", 0, [value], {"a": value}))
    elif isinstance(value, str):
        at = random.randrange(len(value) + 1)
        new = random.choice(TEXTS)
        parent[key] = random.choice((new, value[:at] + new + value[at:], value[:at] + new))
    elif isinstance(value, bool) or value is None:
        parent[key] = random.choice((True, False, None, random.choice(NUMBERS)))
    elif isinstance(value, int):
        parent[key] = random.choice((value + 1, value - 1, *random.sample(INTEGERS, 3)))
    elif isinstance(value, float):
        parent[key] = random.choice((value / 2, value * 1000, random.random(), *NUMBERS))
    elif isinstance(value, dict):
        value[random.choice((*TEXTS, *value))] = random.choice((*TEXTS, *NUMBERS, [], {}, None))


def pickled(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change the opcodes of one pickle after another, and leave what follows them."""
    pieces, rest = _opcodes(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(pieces) + 1)
        other = random.choice((*OPCODES, *pieces[-40:]))
        kind = random.random()
        if kind < 0.3:
            pieces.insert(at, other)
        elif kind < 0.6:
            pieces[at : at + 1] = [other]
        elif kind < 0.75:
            del pieces[at : at + random.randint(1, 3)]
        else:
            pieces[at : at + 1] = [raw(piece) for piece in pieces[at : at + 1]]
    return b"".join(pieces) + rest


def _opcodes(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the opcodes at the beginning of a file, and the rest."""
    stream, starts = io.BytesIO(data), []
    with contextlib.suppress(Exception):
        while True:
            starts += [place for _, _, place in pickletools.genops(stream) if place is not None]
            starts.append(stream.tell())
    starts = sorted(set(starts)) or [0]
    return [data[a:b] for a, b in itertools.pairwise(starts)], data[starts[-1] :]


def zipped(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change a member of a zip file, or which members there are, and write the file again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(one.filename, archive.read(one)) for one in archive.infolist()]
    except Exception:
        return raw(data)
    method = zipfile.ZIP_DEFLATED if random.random() < 0.03 else zipfile.ZIP_STORED
    # Pixels are most of a file, and say little.
    small = [index for index, (_, one) in enumerate(members) if len(one) < 5000]
    at = random.choice(small if small and random.random() < 0.9 else range(len(members) or 1))
    if not members or random.random() < 0.1:
        members.append((random.choice(TEXTS), random.choice(members or [("", b"")])[1]))
    elif random.random() < 0.1:
        members[at] = (raw(members[at][0].encode()).decode(errors="replace"), members[at][1])
    elif random.random() < 0.1:
        del members[at]
    else:
        members[at] = (members[at][0], content(random, raw, members[at][1]))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, one in members:
            with contextlib.suppress(UnicodeError):
                archive.writestr(name.replace("\0", "") or "_", one)
    return target.getvalue()


def npy(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change the header of an array of numpy: a number, its type, or anything."""
    end = 10 + struct.unpack_from("<H", data.ljust(10, b"\0"), 8)[0]
    header = data[10:end].decode("latin1")
    number = str(random.choice(INTEGERS))
    kinds = ("<f4", ">f8", "<i8", "|u1", "|O", "<c8", "<M8[s]", "|V4", "<f2", "<U1", "?", "<f16")
    header = random.choice(
        (
            re.sub(r"\d+(?=[,)])", lambda found: random.choice((found[0], number)), header),
            re.sub(r"'[<>|][^']+'", repr(random.choice(kinds)), header),
            header.replace("False", "True"),
            raw(header.encode("latin1")).decode("latin1"),
        )
    )
    encoded = header.encode("latin1", "replace")[: 2**16 - 1]
    return data[:8] + struct.pack("<H", len(encoded)) + encoded + data[end:]


def safetensors(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change the header of a safetensors file."""
    (size,) = struct.unpack_from("<Q", data)
    try:
        value = json_value(random, json.loads(data[8 : 8 + size]))
    except (ValueError, RecursionError):
        return raw(data)
    header = json.dumps(value).encode()
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def png(random: Random, raw: Raw, data: bytes) -> bytes:
    """Change a chunk of a PNG file, or which chunks there are; their checksums are right."""
    chunks, at = [], len(PNG)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return raw(data)
    index = random.randrange(len(chunks))
    kind, inside = chunks[index]
    other = random.choice((b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fcTL"))
    chunks[index : index + 1] = random.choice(
        (
            [(kind, raw(inside))],
            [(kind, raw(inside))],
            [(kind, inside), (other, raw(inside))],
            [(kind, inside), (kind, inside)],
            [],
        )
    )
    return PNG + b"".join(chunk(kind, inside) for kind, inside in chunks)
