"""Unpack zip archives of distilled sets."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import layout, safe_load

SUFFIX = ".zip"
MAX_MEMBERS = 1_000_000


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder, except files that systems leave behind.

    Raises:
        UserError: the archive is damaged or encrypted, has too many or too large members, or has
            links or members with paths outside it.
    """
    safe_load.check_files([path])
    with safe_load.one_line_errors(path, "a zip archive"), zipfile.ZipFile(path) as archive:
        archive.extractall(folder, _members(archive, path))


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """Return the members to unpack.

    Raises:
        UserError: they are too many or too large, or one is a link or lies outside.
    """
    members = []
    for member in archive.infolist():
        inside = PurePosixPath(member.filename)
        name = one_line(member.filename, safe_load.MAX_REASON_CHARS)
        if inside.is_absolute() or ".." in inside.parts:
            raise UserError(f"{path}: {name} lies outside the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{path}: {name} is a symbolic link, which is not followed")
        if not any(map(layout.is_left_behind, inside.parts)):
            members.append(member)
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{path}: more than {MAX_MEMBERS:,} members")
    # zipfile unpacks no more of a member than its size says.
    if sum(member.file_size for member in members) > safe_load.MAX_BYTES:
        raise UserError(f"{path}: larger than {safe_load.limit()} when unpacked")
    return members
