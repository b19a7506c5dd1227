"""Find the sets that the user names: files, archives, folders of teams, and the images of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark_adapters import own_data
from benchmark_adapters.formats import archives, detection, layout
from benchmark_adapters.plugins import Registry
from benchmark_adapters.runs import derived
from benchmark_adapters.runs.read import find_run, read_record, require_utf8, require_whole
from benchmark_adapters.types import Dataset, Format, UserError, one_line
from leaderboard.records import store
from leaderboard.records.record import Record

MAX_NAME = 100
# Folders within a set, besides those of datasets.
SPLITS = ("train", "val", "test")
OTHER_ARCHIVES = (".gz", ".tgz", ".bz2", ".xz", ".tar", ".7z", ".rar")


@dataclass(frozen=True)
class Submission:
    """A set to score.

    Attributes:
        path: a file, a folder or a zip archive.
        format: its format; None: that which the names of its files tell.
        name: the team, or the method of the run.
        record: the record of the run that it comes from, if any.
        resizes: resize pictures to the size of the dataset.
    """

    path: Path
    format: str | None
    name: str
    record: Record | None = None
    resizes: bool = False


def dataset_text(
    text: str | None, image_size: int | None, test_split: str | float | None
) -> str | None:
    """Return the text that names the dataset of a set, with the settings of a folder of pictures.

    The pictures of a set can have a size of their own, also where those of the dataset have not.
    Without a ``text``, the set is for all datasets of the track.

    Raises:
        UserError: a setting is given that does not fit.
    """
    if text is None:
        if test_split is not None:
            raise UserError("the test split belongs to a folder of pictures: name the dataset too")
        return None
    size = image_size if own_data.is_reference(text) else None
    return own_data.with_settings(text, size, test_split)


def require_size(image_size: int | None, dataset: Dataset) -> None:
    """Raise `UserError` if pictures are to be resized to another size than that of the dataset."""
    size = dataset.image_size
    if image_size not in (None, size):
        raise UserError(
            f"--image-size {image_size}: images of {dataset.name} have {size}x{size} pixels"
        )


def find_submissions(
    path: Path,
    file_format: Format | None,
    name: str | None,
    wanted: Sequence[Dataset],
    formats: Registry[Format],
) -> list[Submission]:
    """Return the submissions at ``path``.

    With a ``name``, the path is the submission of that team. Without one, each folder and each zip
    archive in it is the submission of the team that it is named after.

    Args:
        path: a file, a folder, a zip archive, or a folder of submissions.
        file_format: the format of all submissions; None: that which the names of files tell.
        name: name of the team.
        wanted: the datasets whose sets are looked for.
        formats: all formats by name.

    Raises:
        UserError: ``path`` doesn't exist or is not UTF-8, or it is a single submission without a
            name or in an unknown format.
    """
    if not path.exists():
        raise UserError(f"{path} is missing")
    require_utf8(path)
    groups = [[file_format]] if file_format else formats.groups()
    format_name = file_format.name if file_format else None
    is_set = (_is_set(path, wanted, candidates) for candidates in groups)
    if name is None and path.is_dir() and not any(is_set):
        teams = [
            entry
            for entry in sorted(path.iterdir())
            if not _why_no_team(entry) and not _why_unusable(entry)
        ]
        if teams:
            return [_submission(entry, format_name, _team(entry)) for entry in teams]
    if name is None or not one_line(name):
        raise UserError(f"{path} is a single submission: name the team with --name")
    if format_name is None and path.suffix.lower() != archives.SUFFIX:
        format_name = detection.detect(path, wanted, formats).name
    return [_submission(path, format_name, name)]


def _is_set(folder: Path, wanted: Sequence[Dataset], candidates: Sequence[Format]) -> bool:
    """Return whether a folder is a set, rather than one of teams.

    The folders of teams may be named like those of classes, but they hold sets of their own.
    """
    if not any(detection.holds_set(folder, wanted, one) for one in candidates):
        return False
    parts = {*(dataset.name for dataset in wanted), *SPLITS}
    others = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name not in parts]
    return not any(detection.holds_set(at, wanted, one) for at in others for one in candidates)


def passed_over(path: Path) -> list[str]:
    """Return a line for each entry of a folder of teams that is not scored."""
    lines = []
    for entry in sorted(path.iterdir()):
        if why := _why_no_team(entry):
            lines.append(f"{entry.name} is no team's submission: {why}")
        elif why := _why_unusable(entry):
            lines.append(f"{entry.name} is not scored: {why}")
    return lines


def has_unusable_teams(path: Path) -> bool:
    """Return whether a team's submission in a folder of teams can't be scored for its name."""
    entries = path.iterdir() if path.is_dir() and not (path / store.RECORD).exists() else ()
    return any(_why_unusable(entry) and not _why_no_team(entry) for entry in entries)


def _team(entry: Path) -> str:
    return entry.name if entry.is_dir() else entry.stem


def _why_unusable(entry: Path) -> str:
    """Return why the name of a submission can't be used; empty: it can."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; rename it"
    return "" if one_line(_team(entry)) else "its name has no visible character; rename it"


def _why_no_team(entry: Path) -> str:
    """Return why an entry of a folder of teams is no submission; empty: it is one."""
    if entry.is_symlink():
        return "links are not followed; put a copy of the files there"
    if layout.is_left_behind(entry.name):
        return "its name is that of files which systems leave behind"
    if entry.is_dir():
        return ""
    if not entry.is_file():
        return "it is neither a file nor a folder"
    if entry.suffix.lower() == archives.SUFFIX:
        unpacked = entry.with_suffix("")
        is_scored = unpacked.is_dir() and not unpacked.is_symlink()
        return f"{entry.stem}/ is scored" if is_scored else ""
    if entry.suffix.lower() in OTHER_ARCHIVES:
        return "unpack it into a folder named after the team"
    return "put the files of a team into a folder named after it"


def _submission(path: Path, format_name: str | None, name: str) -> Submission:
    return Submission(path, format_name, one_line(name, MAX_NAME))


def are_files(path: Path) -> bool:
    """Return whether there are files at ``path`` that are not those of a run."""
    return path.exists() and not (path / store.RECORD).exists()


def of_named_run(
    run: str,
    roots: Iterable[Path],
    name: str | None = None,
    image_size: int | None = None,
    dataset: str | None = None,
) -> Submission:
    """Return the images of a run as a submission.

    Args:
        run: a folder or the beginning of a run ID.
        roots: folders of runs.
        name: the name of a team, which only files can have.
        image_size: a size of pictures, which only files and those of the ``dataset`` can have.
        dataset: the text that names a dataset.

    Raises:
        UserError: there is no such run, its record can't be read, it has no usable images, or a
            setting is given that is for files alone.
    """
    try:
        folder = find_run(run, roots)
    except UserError as error:
        raise UserError(f"there are no files at {run}, and {error}") from None
    is_for_files = image_size is not None and not own_data.is_reference(dataset or "")
    if name is not None or is_for_files:
        option = "--name" if name is not None else "--image-size"
        raise UserError(f"{option} is only for files, and {run} is a run: leave it out")
    return of_run(folder)


def of_run(folder: Path) -> Submission:
    """Return the images of the run in ``folder`` as a submission, once they are verified.

    Raises:
        UserError: the record can't be read, or the run has no usable images, or other images than
            its record describes.
    """
    record = read_record(folder)
    if record.images_sha256 is None:
        raise UserError(f"{folder} has no images: its status is {record.status}")
    if record.shard:
        raise UserError(
            f"{folder} is shard {record.shard} of a set; join the shards with `ddbench merge`"
        )
    is_made = record.status == "error" and record.failed_stage == "scoring"
    if record.status in ("invalid", "error") and not is_made:
        raise UserError(f"{folder} can't be used: its status is {record.status}: {record.message}")
    require_whole(folder, record)
    derived.restore(folder, record)
    return Submission(folder, "native", record.method, record)
