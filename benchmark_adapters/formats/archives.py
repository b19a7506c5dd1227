"""Unpack zip archives of distilled sets."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats import layout, safe_load, zips

SUFFIX = ".zip"
# Files and the folders that they are in. Systems take up to a minute to make and remove them.
MAX_ENTRIES = 100_000
# Folders in folders. Systems and libraries fail at some depth.
MAX_DEPTH = 32


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip archive into a folder, except files that systems leave behind.

    Raises:
        UserError: the archive is damaged or encrypted, has too many or too large members, or has
            links or members with paths outside it.
    """
    with (
        safe_load.opened(path) as file,
        safe_load.one_line_errors(path, "a zip archive"),
        zips.opened(file, safe_load.MAX_BYTES) as archive,
    ):
        # zipfile unpacks no more of a member than its size says.
        archive.extractall(folder, _members(archive, path))


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """Return the members to unpack.

    Raises:
        UserError: they are too many or too deep, or one is a link or lies outside.
    """
    members: list[zipfile.ZipInfo] = []
    folders: set[PurePosixPath] = set()
    for member in archive.infolist():
        inside = PurePosixPath(member.filename)
        name = one_line(member.filename, safe_load.MAX_REASON_CHARS)
        if inside.is_absolute() or ".." in inside.parts:
            raise UserError(f"{path}: {name} lies outside the archive")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{path}: {name} is a symbolic link, which is not followed")
        if len(inside.parts) > MAX_DEPTH:
            raise UserError(f"{path}: {name} lies in more than {MAX_DEPTH - 1} folders")
        if not any(map(layout.is_left_behind, inside.parts)):
            members.append(member)
            folders.update(inside.parents)
        if len(members) + len(folders) > MAX_ENTRIES:
            raise UserError(
                f"{path}: more than {MAX_ENTRIES:,} files and folders; unpack it into a folder"
            )
    return members
