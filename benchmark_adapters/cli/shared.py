"""What commands share: options, and how they look up and show runs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from benchmark_adapters import plugins as host
from benchmark_adapters.types import UserError, one_line
from leaderboard.analysis import ranking
from leaderboard.analysis import sections as board
from leaderboard.records import store
from leaderboard.render import tables as table

FOLDER = click.Path(path_type=Path, file_okay=False)
RUNS = Path("runs")
REPEATS = click.option(
    "--repeats",
    type=int,
    help="Evaluation seeds; 0 makes the distilled set and scores nothing.  [default: the track's]",
)
STUDENTS = click.option(
    "--students", metavar="A,B", help="Networks to train instead of the recipe's."
)
DEVICE = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)
OPTION = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the method; `ddbench list options METHOD` shows all.",
)
DATA = click.option("--data", type=FOLDER, help="Folder of the real datasets.  [env: DDBENCH_DATA]")
KEEP = click.option(
    "--runs", type=FOLDER, default=RUNS, show_default=True, help="Folder that keeps all runs."
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print the record instead of the table."
)


def host_of_plugins() -> host.Host:
    """All plug-ins; those that failed are named on stderr."""
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results, whatever a plug-in prints
        parts = host.build()
    for line in parts.skipped:
        click.echo(f"warning: {line}", err=True)
    return parts


def tell(record: Any, folder: Path) -> None:
    """How a run ended and where it lies, on stderr."""
    click.echo(f"run: {one_line(folder)}", err=True)
    if licence := record.model_licence:
        click.echo(one_line(f"licence of the model {record.model}: {licence}"), err=True)
    if record.status != "ok":
        click.echo(f"error: status {record.status}: {one_line(record.message, 5000)}", err=True)


def all_entries(roots: list[Path]) -> list[tuple[Path, Any]]:
    """The folders and records of all runs that can be read; the others are named on stderr."""
    entries, problems = store.entries(roots)
    for line in [*problems, *ranking.conflicts(record for _, record in entries)]:
        click.echo(f"warning: {one_line(line)}", err=True)
    return entries


def find(run: str, roots: Sequence[Path]) -> Path:
    try:
        return store.find(run, roots)
    except ValueError as error:
        raise UserError(str(error)) from None


def names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def conclude(context: click.Context, records: list[Any], runs: Path, as_json: bool) -> NoReturn:
    """Shows the records, or the table of their track, and exits."""
    if as_json:
        documents = [json.loads(record.to_json()) for record in records]
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))
    else:
        with contextlib.redirect_stdout(sys.stderr):
            datasets = {name: track.datasets for name, track in host.build().tracks.items()}
        sections = board.build(
            [record for _, record in all_entries([runs])], records[0].track, datasets, published=()
        )
        click.echo(table.render(sections, "plain"))
        shown = {row.record.run_id for section in sections for row in section.rows}
        for record in records:
            if record.run_id not in shown:
                click.echo(
                    f"run {record.run_id} is kept and no row: another has the same images, recipe and seeds, which count once",
                    err=True,
                )
    context.exit(0 if all(record.status == "ok" for record in records) else 1)
