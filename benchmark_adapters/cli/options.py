"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmark_adapters.types import UserError

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
RUNS_FOLDER = Path("runs")
# Rows that a table of the leaderboard shows of each ranking, unless --rows says otherwise.
ROWS = 100
DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])

DATASET_HELP = "a path, imagefolder:DIR or hf:DIR for a folder of your own."
IMAGE_SIZE = click.option(
    "--image-size",
    type=int,
    metavar="N",
    help="Resize the pictures of a folder of your own to N x N pixels.",
)
PICTURE_SIZE = click.option(
    "--image-size",
    type=int,
    metavar="N",
    help="Resize the pictures of the set to N x N pixels, the size of the dataset; and those of "
    "DATASET, if it is a folder of your own.",
)
FORMAT = click.option(
    "--format",
    "format_name",
    metavar="FORMAT",
    help="Format of the files; `ddbench list formats` lists them all.  [default: that which the "
    "names of the files tell]",
)
TEST_SPLIT = click.option(
    "--test-split",
    metavar="NAME|SHARE",
    help="Test images of a folder of your own: the name of their split, or the share of all images "
    "to hold out.  [default: test]",
)
TRACK_FILE = click.option(
    "--track",
    metavar="FILE.toml",
    help="Track file that knows the folder of the dataset, if it is one of your own.",
)
REPEATS = click.option(
    "--repeats",
    type=int,
    help="Number of evaluation seeds; 0 skips scoring.  [default: the track's]",
)
STUDENTS = click.option(
    "--students", metavar="A,B", help="Students to train instead of the recipe's, comma-separated."
)
DEVICE = click.option(
    "--device",
    type=DEVICES,
    default="auto",
    show_default=True,
    help="Device to run on; auto uses an accelerator if there is one.",
)
BACKEND = click.option(
    "--backend",
    type=click.Choice(["auto", "reference", "fast"]),
    default="auto",
    show_default=True,
    help="Training backend. reference: the official evaluator's plain loop; fast: always "
    "compiled; auto: whichever is faster for the length of the training.",
)
METHOD_OPTION = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Method setting; repeatable. `ddbench list options METHOD` lists them all.",
)
DATA = click.option(
    "--data", type=FOLDER, help="Folder with the real datasets.  [env: DDBENCH_DATA]"
)
ISOLATE = click.option(
    "--isolate",
    type=click.Choice(("auto", "on", "off")),
    default="auto",
    show_default=True,
    help="Isolate processes from the network and from files that are not theirs (Linux with "
    "bubblewrap). auto: those that read untrusted files, where possible; on: methods too.",
)
RUNS = click.option(
    "--runs",
    type=FOLDER,
    default=RUNS_FOLDER,
    show_default=True,
    help="Folder where runs are saved.",
)
SEVERAL_RUNS = click.option(
    "--runs",
    "roots",
    type=FOLDER,
    multiple=True,
    default=[RUNS_FOLDER],
    help="Folder where runs are saved; repeatable.  [default: runs]",
)
_FILTERS = (
    click.option("--method", metavar="METHOD", help="Only runs of this method or team."),
    click.option("--dataset", metavar="DATASET", help="Only runs on this dataset."),
    click.option(
        "--status",
        type=click.Choice(["ok", "timeout", "invalid", "error"]),
        help="Only runs that ended so.",
    ),
)
RECORD_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of the table."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def own_dataset(command: Command) -> Command:
    """Add the options that say where the folder of a run's own dataset is."""
    text = "Folder of the dataset of RUN, if it was one of your own, as in `ddbench run`."
    dataset = click.option("--dataset", metavar="DATASET", help=text)
    for option in (TRACK_FILE, TEST_SPLIT, IMAGE_SIZE, dataset):
        command = option(command)
    return command


def filters(command: Command) -> Command:
    """Add the options that select runs, besides ``--track``."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command


def names(text: str | None) -> tuple[str, ...]:
    """Return the names in a comma-separated list."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def dataset(name: str | None, image_size: int | None, test_split: str | None) -> str | None:
    """Return the text that names a dataset, with the settings of a folder.

    Raises:
        UserError: a setting is given that does not fit.
    """
    from benchmark_adapters import own_data

    if name is None and (image_size is not None or test_split is not None):
        option = "--image-size" if image_size is not None else "--test-split"
        raise UserError(f"{option} needs a folder of pictures: name it as the dataset, DIR/")
    return own_data.with_settings(name, image_size, test_split) if name is not None else None
