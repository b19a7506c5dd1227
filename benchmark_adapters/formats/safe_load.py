"""Read untrusted files. Sizes are checked before anything is loaded, and nothing is executed."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_adapters.errors import UserError, one_line

if TYPE_CHECKING:
    import torch

# The largest submission.
MAX_BYTES = 4 * 2**30
MAX_REASON_CHARS = 160


def check_files(files: Iterable[Path], max_bytes: float = MAX_BYTES) -> None:
    """Raise `UserError` unless all files are plain files, not links, and small enough in total."""
    total = 0
    for file in files:
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


@contextlib.contextmanager
def one_line_errors(path: Path, kind: str) -> Iterator[None]:
    """Raise a `UserError`, which says that ``path`` is not readable as ``kind``, for any error."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: loading it exceeds the memory limit") from None
    # A damaged or hostile file can make a reader raise anything.
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}", MAX_REASON_CHARS)
        raise UserError(f"{path}: not readable as {kind} ({reason})") from None


def load_tensors(path: Path) -> Any:
    """Return the tensors and plain containers that ``torch.save`` wrote.

    Raises:
        UserError: the file is missing, too large or damaged, or loading it would execute code.
    """
    import torch

    check_files([path])
    with one_line_errors(path, "plain tensors"):
        if zipfile.is_zipfile(path):
            _check_members(path)
        with torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(path, map_location="cpu", weights_only=True)


def load_tensor(path: Path) -> torch.Tensor:
    """Return the only tensor in a file.

    Raises:
        UserError: as in `load_tensors` and `check_tensor`.
    """
    return check_tensor(load_tensors(path), path, "the file")


def check_tensor(value: Any, path: Path, what: str) -> torch.Tensor:
    """Return ``value`` if it is a dense CPU tensor of at most `MAX_BYTES`.

    Raises:
        UserError: it is something else; the message calls it ``what`` and names ``path``.
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
        raise UserError(f"{path}: {what} of shape {list(value.shape)} is larger than {limit()}")
    return value.detach()


def _numpy_scalars() -> list[Any]:
    """Return what it takes to read numpy's numbers, which many tools store beside the images.

    PyTorch's restricted reader knows tensors and plain containers alone.
    """
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    types = [type(np.dtype(name)) for name in ("b1", "i4", "i8", "f4", "f8")]
    # numpy 2 moved the function.
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    names = [(scalar, f"{module}.scalar") for module in modules]
    return [np.dtype, *types, *names, (_encode_latin1, "_codecs.encode")]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Return the bytes that pickles of protocol 2 hold as text."""
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding}, expected latin1")
    return text.encode("latin1")


def _check_members(path: Path) -> None:
    """Check the sizes of a zip file's members, which can be far larger than the file itself."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UserError(f"{path}: its members are compressed, but torch.save never compresses them")
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise _too_large(path)


def _too_large(path: Path) -> UserError:
    return UserError(f"{path}: the submission is larger than {limit()}")


def limit() -> str:
    """Return `MAX_BYTES` as text."""
    return f"{MAX_BYTES / 2**30:g} GiB"
