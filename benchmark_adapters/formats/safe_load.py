"""Read untrusted files. Sizes are checked before anything is loaded, and nothing is executed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from benchmark_adapters import files
from benchmark_adapters.errors import UserError, one_line
from benchmark_adapters.formats.bounds import Refused

if TYPE_CHECKING:
    import torch

# The largest submission.
MAX_BYTES = 4 * 2**30
MAX_REASON_CHARS = 160


def check_files(paths: Iterable[Path], max_bytes: float = MAX_BYTES) -> None:
    """Raise `UserError` unless all files are plain files, not links, and small enough in total."""
    total = 0
    for file in paths:
        refuse_link(file)
        if not file.is_file():
            raise UserError(f"{file} is missing")
        total += file.stat().st_size
        if total > max_bytes:
            raise _too_large(file)


def refuse_link(file: Path) -> None:
    """Raise `UserError` if a file or folder is a symbolic link.

    In the cache of the Hugging Face Hub, the files of a snapshot are links to the blobs of the same
    repository, which are followed.
    """
    if not file.is_symlink():
        return
    absolute = file.absolute()
    repository = next(
        (folder.parent for folder in absolute.parents if folder.name == "snapshots"), None
    )
    target = absolute.resolve()
    is_cached = repository and target.parent == repository.resolve() / "blobs"
    if not is_cached or not target.is_file():
        raise UserError(
            f"{file} is a symbolic link, which is not followed; put a copy of the file there"
        )


def opened(path: Path, max_bytes: float | None = None) -> BinaryIO:
    """Open an untrusted file of at most ``max_bytes``, or `MAX_BYTES`, for reading.

    Raises:
        UserError: it is missing, larger, a link, or no plain file but for example a pipe.
    """
    refuse_link(path)
    # What the look at a path says may be wrong by now.
    target = path.resolve() if path.is_symlink() else path
    try:
        file = files.open_regular(target, follows_links=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path} can't be opened: {reason}") from None
    if os.fstat(file.fileno()).st_size > (MAX_BYTES if max_bytes is None else max_bytes):
        file.close()
        raise _too_large(path)
    return file


@contextlib.contextmanager
def one_line_errors(path: Path, kind: str) -> Iterator[None]:
    """Raise a `UserError`, which says that ``path`` is not readable as ``kind``, for any error."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: loading it exceeds the memory limit") from None
    except Refused as error:
        reason = one_line(error, MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as {kind} ({reason})") from None
    # A damaged or hostile file can make a reader raise anything.
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as {kind} ({reason})") from None


def load_tensors(path: Path) -> Any:
    """Return the tensors, numbers, text and plain containers that ``torch.save`` wrote.

    Entries of dicts whose key is not text are left out.

    Raises:
        UserError: the file is missing, too large or damaged, or holds anything else.
    """
    # Not at the top, because it imports numpy.
    from benchmark_adapters.formats import torch_files

    with opened(path) as file, one_line_errors(path, "plain tensors"):
        return torch_files.read(file, MAX_BYTES)


def load_tensor(path: Path) -> torch.Tensor:
    """Return the only tensor in a file.

    Raises:
        UserError: as in `load_tensors` and `check_tensor`.
    """
    return check_tensor(load_tensors(path), path, "the file")


def check_tensor(value: Any, path: Path, what: str) -> torch.Tensor:
    """Return ``value`` if it is a tensor.

    Raises:
        UserError: it is something else; the message calls it ``what`` and names ``path``.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise UserError(f"{path}: {what} should be a plain tensor, not {type(value).__name__}")
    return value


def _too_large(path: Path) -> UserError:
    return UserError(f"{path}: the submission is larger than {limit()}")


def limit() -> str:
    """Return `MAX_BYTES` as text."""
    return f"{MAX_BYTES / 2**30:g} GiB"
