"""Reading files of strangers: bounded before they are loaded, loaded as data."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.types import UserError, one_line

if TYPE_CHECKING:
    import torch

MOST_BYTES = 4 * 2**30  # of a submission


def bounded(files: Iterable[Path]) -> None:
    """Raises `UserError` unless ``files`` are plain files, no links to others, and small enough together."""
    total = 0
    for file in files:
        if file.is_symlink():
            raise UserError(f"{file} is a link, which is not followed")
        if not file.is_file():
            raise UserError(f"{file} is missing")
        total += file.stat().st_size
        if total > MOST_BYTES:
            raise UserError(
                f"{file}: a submission of more than {MOST_BYTES / 2**30:g} GiB is not read"
            )


def load(path: Path) -> Any:
    """What ``torch.save`` wrote to ``path``: tensors and plain containers.

    Raises:
        UserError: the file is missing, too large, damaged, or holds anything that would have to be executed.
    """
    import torch

    bounded([path])
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: it needs more memory than is allowed") from None
    except Exception as error:  # whatever a damaged or hostile file makes the reader say
        reason = one_line(f"{type(error).__name__}: {error}", 160)
        raise UserError(f"{path}: not readable as tensors alone ({reason})") from None


def _check_members(path: Path) -> None:
    """A zip file's members can be larger than the file, and as large as they like."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f"{path}: its members are compressed, which torch.save doesn't do")
    if sum(member.file_size for member in members) > MOST_BYTES:
        raise UserError(f"{path}: a submission of more than {MOST_BYTES / 2**30:g} GiB is not read")


def tensor(value: Any, path: Path, what: str) -> torch.Tensor:
    """``value`` as a dense tensor on the CPU that is no larger than a submission may be; raises `UserError`."""
    import torch

    if (
        not isinstance(value, torch.Tensor)
        or value.layout != torch.strided
        or value.is_quantized
        or value.device.type != "cpu"
    ):
        raise UserError(f"{path}: {what} should be a plain tensor, not {type(value).__name__}")
    if (
        value.numel() * value.element_size() > MOST_BYTES
    ):  # a view may be larger than what it is a view of
        raise UserError(
            f"{path}: {what} of shape {list(value.shape)} is more than {MOST_BYTES / 2**30:g} GiB"
        )
    return value.detach()
