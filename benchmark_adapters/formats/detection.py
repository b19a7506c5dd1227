"""Find out in which format a set is, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmark_adapters.errors import UserError
from benchmark_adapters.formats import layout
from benchmark_adapters.types import Dataset, Format, resolve


def detect(path: Path, wanted: Iterable[Dataset], formats: Mapping[str, Format]) -> Format:
    """Return the only format that has a set of one of the ``wanted`` datasets at ``path``.

    Raises:
        UserError: no format has one, or several have.
    """
    wanted = list(wanted)
    found = [name for name, one in formats.items() if _is_named_as_in(one, path, wanted)]
    if len(found) == 1:
        return formats[found[0]]
    why = f"could be {' or '.join(found)}" if found else "has no files named as in a known format"
    known = ", ".join(found or formats)
    raise UserError(f"{path} {why}: name the format with --format; known: {known}")


def holds_set(path: Path, wanted: Iterable[Dataset], file_format: Format) -> bool:
    """Return whether a format finds a set of one of the ``wanted`` datasets at ``path``."""
    find = resolve(file_format.find)
    return any(find(path, dataset) for dataset in wanted)


def content_of(path: Path, dataset: Dataset, file_format: Format) -> Path:
    """Return where a format finds a set: at ``path``, or else in the only folder within."""
    return path if holds_set(path, [dataset], file_format) else layout.content_of(path)


def _is_named_as_in(file_format: Format, path: Path, wanted: Iterable[Dataset]) -> bool:
    """Return whether the names of a set's files say that it is in a format.

    A format may read a file of any name. Its folder tells which names are those of the format.
    """
    find = resolve(file_format.find)
    content = layout.content_of(path)
    for dataset in wanted:
        try:
            if path.is_file():
                if find(path, dataset) and path in find(path.parent, dataset):
                    return True
            elif find(path, dataset) or find(content, dataset):
                return True
        except UserError:
            # The format's files are there, but something is wrong with them.
            return True
    return False
