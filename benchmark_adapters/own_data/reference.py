"""Text that names a folder of real images, such as ``imagefolder:pets?size=32&test=val``."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from benchmark_adapters.types import UserError

IMAGE_FOLDER, HUGGING_FACE = "imagefolder", "hf"
KINDS = (IMAGE_FOLDER, HUGGING_FACE)
TEST = "test"
MIN_SIZE, MAX_SIZE = 8, 1024


@dataclass(frozen=True)
class Reference:
    """A folder of real images, and how to read it.

    Attributes:
        kind: ``imagefolder`` or ``hf``.
        folder: its absolute path.
        size: height and width in pixels to resize images to; None: they all have one size.
        test: name of the test split, or the share of the images to hold out as test images.
    """

    kind: str
    folder: Path
    size: int | None = None
    test: str = TEST

    def __str__(self) -> str:
        return f"{self.kind}:{self.folder}{self._query}"

    @property
    def without_path(self) -> str:
        """Return the text with DIR for the path."""
        return f"{self.kind}:DIR{self._query}"

    @property
    def _query(self) -> str:
        size = [f"size={self.size}"] if self.size else []
        test = [f"test={self.test}"] if self.test != TEST else []
        query = "&".join([*size, *test])
        return query and f"?{query}"

    @property
    def share(self) -> float | None:
        """Return the share of the images to hold out, if ``test`` is a share."""
        return float(self.test) if re.fullmatch(r"0?\.\d+", self.test) else None

    @property
    def settings_sha256(self) -> str:
        """Return the hash of the path and of all settings."""
        return hashlib.sha256(str(self).encode("utf-8", "surrogateescape")).hexdigest()

    def name(self, taken: Collection[str]) -> str:
        """Return a name for the dataset: that of the folder, as far as names allow.

        A name that is ``taken`` gets a suffix.
        """
        stem = re.sub(r"[^\w.-]+", "-", self.folder.name).strip(".-") or "images"
        return f"{stem[:80]}-folder" if stem in taken else stem[:80]


def is_reference(text: str) -> bool:
    """Return whether ``text`` names a folder, and not an installed dataset."""
    return text.partition(":")[0] in KINDS or "/" in text or os.sep in text


def parse(text: str, base: Path | None = None) -> Reference:
    """Return the reference in ``text``; a relative path starts at ``base``, or in this folder.

    Raises:
        UserError: there is no such folder, or a setting is unknown or not allowed.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        kind, rest = IMAGE_FOLDER, text
    path, mark, query = rest.rpartition("?")
    if not mark or "=" not in query:
        path, query = rest, ""
    folder = Path(os.path.abspath((base or Path()) / Path(path).expanduser()))
    if not path or not folder.is_dir():
        raise UserError(f"dataset {text}: {folder} is not a folder")
    settings: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("size", "test"):
            raise UserError(f"dataset {text}: unknown setting {name!r}; known: size, test")
        settings[name] = value
    return Reference(kind, folder, _size(settings.get("size")), _test(settings.get("test", TEST)))


def with_settings(text: str, size: int | None, test: str | float | None) -> str:
    """Return ``text`` with the values of ``--image-size`` and ``--test-split``.

    Raises:
        UserError: ``text`` names an installed dataset, or as in `parse`.
    """
    if size is None and test is None:
        return text
    if not is_reference(text):
        option = "--image-size" if size is not None else "--test-split"
        raise UserError(
            f"{option} needs a folder of pictures, and {text} is a name; name a folder with a slash"
        )
    found = parse(text)
    size = found.size if size is None else _size(str(size))
    return str(
        Reference(found.kind, found.folder, size, _test(found.test if test is None else str(test)))
    )


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not MIN_SIZE <= int(text) <= MAX_SIZE:
        raise UserError(f"image size {text}: expected {MIN_SIZE} to {MAX_SIZE} pixels")
    return int(text)


def _test(text: str) -> str:
    is_share = re.fullmatch(r"0?\.\d+", text) and float(text) > 0
    if not is_share and not re.fullmatch(r"[^\W\d][\w.-]*", text):
        raise UserError(
            f"test split {text!r}: expected the name of a split, such as val, or the share of the "
            "images to hold out, such as 0.2"
        )
    return text
