"""Read untrusted files: sizes are bounded before anything is loaded, and nothing is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.errors import UserError, one_line

if TYPE_CHECKING:
    import torch

MAX_BYTES = 4 * 2**30  # of a submission
MAX_REASON_CHARS = 160


def check_files(files: Iterable[Path], max_bytes: float = MAX_BYTES) -> None:
    """Raise `UserError` unless all are plain files, no links, and small enough together."""
    total = 0
    for file in files:
        if file.is_symlink():
            raise UserError(f"{file} is a link, which is not followed")
        if not file.is_file():
            raise UserError(f"{file} is missing")
        total += file.stat().st_size
        if total > max_bytes:
            raise _too_large(file)


def load_tensors(path: Path) -> Any:
    """Return what ``torch.save`` wrote: tensors and plain containers.

    Raises:
        UserError: the file is missing, too large or damaged, or loading it would execute code.
    """
    import torch

    check_files([path])
    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: it needs more memory than is allowed") from None
    except Exception as error:  # whatever a damaged or hostile file makes the reader raise
        reason = one_line(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as tensors alone ({reason})") from None


def load_tensor(path: Path) -> torch.Tensor:
    """Return the only tensor of a file; raises as `load_tensors` and `check_tensor`."""
    return check_tensor(load_tensors(path), path, "the file")


def check_tensor(value: Any, path: Path, what: str) -> torch.Tensor:
    """Return ``value``, which should be a dense tensor on the CPU of at most `MAX_BYTES`.

    Raises:
        UserError: it is something else; the message names it as ``what`` in ``path``.
    """
    import torch

    if (
        not isinstance(value, torch.Tensor)
        or value.layout != torch.strided
        or value.is_quantized
        or value.device.type != "cpu"
    ):
        raise UserError(f"{path}: {what} should be a plain tensor, not {type(value).__name__}")
    # A view may be larger than the storage that was loaded.
    if value.numel() * value.element_size() > MAX_BYTES:
        raise UserError(f"{path}: {what} of shape {list(value.shape)} is more than {_limit()}")
    return value.detach()


def _check_members(path: Path) -> None:
    """Check the sizes in a zip file, whose members can be far larger than the file."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f"{path}: its members are compressed, which torch.save doesn't do")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise _too_large(path)


def _too_large(path: Path) -> UserError:
    return UserError(f"{path}: a submission of more than {_limit()} is not read")


def _limit() -> str:
    return f"{MAX_BYTES / 2**30:g} GiB"
