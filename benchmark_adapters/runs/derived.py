"""Write the files of a run that follow from its record and images, and make lost ones again."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from benchmark_adapters.execution import discovery
from benchmark_adapters.files import replacing
from benchmark_adapters.formats import native
from benchmark_adapters.runs import preview, recording
from benchmark_adapters.runs.read import damage
from benchmark_adapters.types import DistilledSet, UserError
from leaderboard.records import store
from leaderboard.records.record import Record

GRID = "grid.png"


def write(folder: Path, record: Record, distilled: DistilledSet) -> list[str]:
    """Write ``manifest.json`` and ``grid.png``; return a line for each that can't be written."""
    steps = {native.MANIFEST: _write_manifest, GRID: _write_grid}
    problems = []
    for name, step in steps.items():
        try:
            step(folder, record, distilled)
        except OSError as error:
            problems.append(
                f"{store.final(folder) / name} could not be written "
                f"({error.strerror or error}); it is made when it is needed"
            )
    return problems


def make_room(folder: Path) -> None:
    """Delete the files that can be made again."""
    for name in (native.MANIFEST, GRID):
        (folder / name).unlink(missing_ok=True)


def restore(folder: Path, record: Record) -> None:
    """Make a missing or damaged manifest or preview again, as far as that is possible.

    It takes undamaged images, their class names, and a folder that can be written.
    """
    has_manifest = native.has_manifest(folder, record.dataset)
    if (has_manifest and _has_grid(folder)) or not (folder / native.IMAGES).is_file():
        return
    if not record.images_sha256 or damage(folder, record):
        return
    with contextlib.suppress(UserError, OSError):
        if not has_manifest:
            _write_manifest(folder, record, _with_class_names(folder, record))
        if not _has_grid(folder):
            _write_grid(folder, record, native.read_run(folder))


def _write_manifest(folder: Path, record: Record, distilled: DistilledSet) -> None:
    content = recording.manifest(record, native.describe(record.dataset, distilled))
    with replacing(folder / native.MANIFEST) as temporary:
        temporary.write_bytes(content)


def _write_grid(folder: Path, record: Record, distilled: DistilledSet) -> None:
    with replacing(folder / GRID) as temporary:
        preview.draw(distilled).save(temporary)


def _has_grid(folder: Path) -> bool:
    """Return whether the preview is a whole PNG file."""
    from PIL import Image

    file = folder / GRID
    if file.is_symlink() or not file.is_file():
        return False
    # A damaged file can make the reader raise anything.
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.verify()
    except Exception:
        return False
    return True


def _with_class_names(folder: Path, record: Record) -> DistilledSet:
    """Return the set in ``folder`` with the class names of its dataset.

    Raises:
        UserError: the dataset is none of the installed ones, or the images are not bytes. Only a
            manifest has the names of other datasets, and the normalisation of such images.
    """
    distilled = native.read_arrays(folder)
    dataset = discovery.installed().datasets.require(record.dataset)
    if distilled.images.dtype != "uint8":
        raise UserError(f"{folder}: only the manifest has the normalisation of the images")
    return replace(distilled, class_names=dataset.class_names)
