"""Hostile zip archives of sets."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_parts import (
    Hostile,
    directory,
    repeated_directory,
    set_file,
    with_sizes,
    written,
    zipped,
)

Members = list[tuple[str | zipfile.ZipInfo, bytes]]


def good(folder: Path) -> bytes:
    """Return a good file of the format eccv2024."""
    path = written("eccv2024", folder) / "fashionmnist.pt"
    content = path.read_bytes()
    path.unlink()
    return content


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("fashionmnist.pt")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def encrypted(content: bytes) -> bytes:
    """Return a zip file whose members are said to be encrypted."""
    changed = bytearray(content)
    changed[6] |= 1
    changed[directory(content)[0] + 8] |= 1
    return bytes(changed)


def quine() -> bytes:
    """Return a zip file in a zip file, 50 deep."""
    content = b""
    for _ in range(50):
        content = zipped({"team.zip": content}, zipfile.ZIP_DEFLATED)
    return content


def bomb(size: int) -> bytes:
    """Return a zip file of a set that holds ``size`` zeros."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("fashionmnist.pt", "w", force_zip64=True) as member,
    ):
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return target.getvalue()


def archive(name: str, make: Callable[[Path], bytes], says: str, **options: Any) -> Hostile:
    return Hostile(
        f"archive, {name}",
        "eccv2024",
        lambda folder: set_file(folder, make(folder), "team.zip"),
        says,
        **options,
    )


def members(
    name: str, make: Callable[[bytes], Members], says: str, method: int = zipfile.ZIP_STORED
) -> Hostile:
    """Return an attack with an archive of the members that ``make(good file)`` returns."""
    return archive(name, lambda folder: zipped(make(good(folder)), method), says)


DEEP = "a/" * 1000
ARCHIVES = (
    members(
        "a path that leads out of it",
        lambda file: [("../outside.pt", file)],
        "../outside.pt lies outside the archive",
    ),
    members(
        "an absolute path",
        lambda file: [("/tmp/outside.pt", file)],
        "/tmp/outside.pt lies outside the archive",
    ),
    members("a link", lambda file: [(link(), b"/etc/passwd")], "is a symbolic link"),
    members(
        "two members of one name",
        lambda file: [("fashionmnist.pt", b""), ("fashionmnist.pt", file)],
        "two members are named fashionmnist.pt",
    ),
    members(
        "names alike but for the case",
        lambda file: [("fashionmnist.pt", b""), ("FashionMNIST.pt", file)],
        "not readable as plain tensors",
    ),
    members(
        "a thousand folders in folders",
        lambda file: [(f"{DEEP}fashionmnist.pt", file)],
        "lies in more than 31 folders",
    ),
    members(
        "a name of 60,000 characters",
        lambda file: [("a" * 60_000, file)],
        "not readable as a zip archive (OSError",
    ),
    members(
        "a file that is a folder too",
        lambda file: [("a", b""), ("a/fashionmnist.pt", file)],
        "not readable as a zip archive (",
    ),
    members(
        "control characters in names",
        lambda file: [("../\x1b[2J\x07\n.pt", file)],
        "../ [2J .pt lies outside the archive",
    ),
    members(
        "LZMA, which may reserve gigabytes",
        lambda file: [("fashionmnist.pt", file)],
        "compressed in another way",
        zipfile.ZIP_LZMA,
    ),
    archive(
        "an encrypted member",
        lambda folder: encrypted(zipped({"fashionmnist.pt": good(folder)})),
        "fashionmnist.pt is encrypted",
    ),
    archive("archives in archives", lambda _: quine(), "no fashionmnist.pt"),
    archive(
        "a directory that says 4 TB",
        lambda folder: with_sizes(
            zipped({f"{number}.pt": b"0" for number in range(1000)}), 2**32 - 2
        ),
        "larger than 4 GiB when unpacked",
    ),
    archive(
        "a member that is longer than it says",
        lambda folder: with_sizes(
            zipped({"fashionmnist.pt": good(folder)}, zipfile.ZIP_DEFLATED), 100
        ),
        "not readable as a zip archive (",
    ),
    archive(
        "a directory of 35 MB",
        lambda _: repeated_directory(zipped({"1.pt": b""}), [b"1.pt"] * 700_000),
        "its directory is too large",
    ),
    archive(
        "one member by 200,000 names",
        lambda folder: repeated_directory(
            zipped({"000000": good(folder)}), (b"%06d" % number for number in range(200_000))
        ),
        "its members overlap",
        is_slow=True,
    ),
    archive(
        "200,000 empty members",
        lambda _: zipped({str(number): b"" for number in range(200_000)}),
        "more than 100,000 files and folders",
        is_slow=True,
    ),
    archive(
        "90,000 empty members",
        lambda _: zipped({str(number): b"" for number in range(90_000)}),
        "no fashionmnist.pt",
        is_slow=True,
    ),
    archive(
        "30 folders of its own for each of 3,400 members",
        lambda _: zipped({f"{number}/{'a/' * 29}b": b"" for number in range(3400)}),
        "more than 100,000 files and folders",
    ),
    archive("a bomb of 1 GiB", lambda _: bomb(2**30), "not readable as plain", is_slow=True),
    archive("half of it", lambda folder: zipped({"a": good(folder)})[:30_000], "not readable as a"),
)
