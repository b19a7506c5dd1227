"""Find out in which format a set is, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import layout
from benchmark_adapters.plugins import Registry
from benchmark_adapters.types import Dataset, Format, resolve


def detect(
    path: Path,
    wanted: Iterable[Dataset],
    formats: Registry[Format],
    others: Iterable[Dataset] = (),
) -> Format:
    """Return the only format that has a set of one of the ``wanted`` datasets at ``path``.

    If none has, the sets of ``others`` tell the format. Formats of third-party plugins are tried
    only if none of ddbench's own fits.

    Raises:
        UserError: no format has one, or several have.
    """
    found = _fitting(path, list(wanted), formats) or _fitting(path, list(others), formats)
    if len(found) == 1:
        return found[0]
    names = [one.name for one in found]
    why = f"could be {' or '.join(names)}" if found else "has no files named as in a known format"
    known = ", ".join(names or formats)
    raise UserError(f"{path} {why}: name the format with --format; known: {known}")


def _fitting(path: Path, wanted: Sequence[Dataset], formats: Registry[Format]) -> list[Format]:
    """Return the formats that have a set of one of the ``wanted`` datasets at ``path``."""
    for group in formats.groups():
        if found := [one for one in group if _names_tell(one, path, wanted)]:
            return found
    return []


def holds_set(path: Path, wanted: Iterable[Dataset], file_format: Format) -> bool:
    """Return whether a format finds a set of one of the ``wanted`` datasets at ``path``.

    It does so too if something is wrong with the files of the set.
    """
    find = resolve(file_format.find)
    try:
        return any(find(path, dataset) for dataset in wanted)
    except UserError:
        return True


def content_of(path: Path, dataset: Dataset, file_format: Format) -> Path:
    """Return where a format finds a set: at ``path``, or else in the only folder within."""
    return path if holds_set(path, [dataset], file_format) else layout.content_of(path)


def _names_tell(file_format: Format, path: Path, wanted: Sequence[Dataset]) -> bool:
    """Return whether the names of a set's files say that it is in a format."""
    if not path.is_file():
        return any(holds_set(at, wanted, file_format) for at in (path, layout.content_of(path)))
    if not holds_set(path, wanted, file_format):
        return False
    # A format may read a file of any name. Its folder tells which names are those of the format.
    find = resolve(file_format.find)
    try:
        return any(path in find(path.parent, dataset) for dataset in wanted)
    except UserError:
        return False
