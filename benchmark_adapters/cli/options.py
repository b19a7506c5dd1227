"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
RUNS_FOLDER = Path("runs")
DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])

REPEATS = click.option(
    "--repeats",
    type=int,
    help="Evaluation seeds; 0 makes the distilled set and scores nothing.  [default: the track's]",
)
STUDENTS = click.option(
    "--students", metavar="A,B", help="Networks to train instead of the recipe's."
)
DEVICE = click.option("--device", type=DEVICES, default="auto", show_default=True)
BACKEND = click.option(
    "--backend",
    type=click.Choice(["auto", "reference", "fast"]),
    default="auto",
    show_default=True,
    help="How students are trained: as plainly as the official evaluator, or compiled.",
)
METHOD_OPTION = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the method; `ddbench list options METHOD` shows all.",
)
DATA = click.option("--data", type=FOLDER, help="Folder of the real datasets.  [env: DDBENCH_DATA]")
RUNS = click.option(
    "--runs",
    type=FOLDER,
    default=RUNS_FOLDER,
    show_default=True,
    help="Folder that keeps all runs.",
)
SEVERAL_RUNS = click.option(
    "--runs",
    "roots",
    type=FOLDER,
    multiple=True,
    default=[RUNS_FOLDER],
    help="Folder of runs; may be given several times.  [default: runs]",
)
RECORD_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the record instead of the table."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def names(text: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    return tuple(name.strip() for name in text.split(",")) if text else ()
