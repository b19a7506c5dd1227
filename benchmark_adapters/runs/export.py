"""Export the images of runs in another format."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters import datasets
from benchmark_adapters.files import new_folder
from benchmark_adapters.formats import native
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.runs.inbox import of_run
from benchmark_adapters.types import Dataset, DistilledSet, Format, UserError, one_line, resolve

if TYPE_CHECKING:
    from benchmark_adapters.types import Array

# Bytes to write to see whether a disk is full.
PROBE = 2**20


def export(
    folders: Sequence[Path],
    file_format: Format,
    plugins: Plugins,
    output: Path,
    find: Callable[[str], Dataset],
    with_truth: bool = False,
    data: Path | None = None,
) -> list[Path]:
    """Export the images of runs, at most one run per dataset.

    Args:
        folders: folders of the runs.
        file_format: the format to write.
        plugins: the installed plugins.
        output: a new or empty folder.
        find: returns the dataset of a run by its name.
        with_truth: also write the real test images.
        data: folder of the real datasets.

    Returns:
        The written files.

    Raises:
        UserError: a run has no usable images, two runs have the same dataset, ``output`` is not
            empty or can't be written, or the format can't hold the images.
    """
    sets: dict[str, tuple[Dataset, DistilledSet]] = {}
    tests: dict[str, tuple[Dataset, tuple[Array, Array]]] = {}
    if with_truth and file_format.write_truth is None:
        raise UserError(
            f"format {file_format.name} does not support real test images; leave out --truth"
        )
    for folder in folders:
        record = of_run(folder).record
        assert record
        dataset = find(record.dataset)
        if dataset.name in sets:
            raise UserError(
                f"{folder}: a run on {dataset.name} was already given; "
                "export each run to its own folder"
            )
        sets[dataset.name] = dataset, native.load(folder, dataset)
        if with_truth:
            rules = record.rules or plugins.tracks.require(record.track)
            bundled = rules.bundled_data
            tests[dataset.name] = dataset, datasets.load(dataset, "test", data, bundled)
    try:
        with new_folder(output) as scratch, _writing_to(output, scratch):
            resolve(file_format.write)(sets, scratch)
            if file_format.write_truth and with_truth:
                resolve(file_format.write_truth)(tests, scratch)
    except FileExistsError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"could not write {output}: {error.strerror or error}") from None
    return sorted(file for file in output.rglob("*") if file.is_file())


@contextlib.contextmanager
def _writing_to(output: Path, folder: Path) -> Iterator[None]:
    """Raise a `UserError` that says why the writer of a format failed in ``folder``.

    Libraries raise many kinds of errors on a full disk, few of which say that it is full.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        reason = one_line(f"{type(error).__name__}: {error}")
        try:
            (folder / "probe").write_bytes(bytes(PROBE))
        except OSError as cause:
            reason = cause.strerror or reason
        raise UserError(f"could not write {output}: {reason}") from error
