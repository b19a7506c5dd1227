"""Output and exit codes shared by several commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from benchmark_adapters import reporting
from benchmark_adapters.types import one_line

if TYPE_CHECKING:
    from benchmark_adapters.plugins import Plugins
    from leaderboard.records.record import Record

MAX_MESSAGE = 5000


def installed_plugins() -> Plugins:
    """Return all plugins. Warn on stderr about those that can't be used."""
    from benchmark_adapters.execution import discovery

    installed = discovery.installed()
    for line in installed.skipped:
        click.echo(f"warning: {line}", err=True)
    return installed


def report_run(record: Record, folder: Path) -> None:
    """Print the folder of a run, the licence of its model and its error, if any, to stderr."""
    reporting.say(f"run: {one_line(folder)}")
    if record.model_licence:
        reporting.say(one_line(f"licence of the model {record.model}: {record.model_licence}"))
    for warning in record.metadata.get("warnings", []):
        click.echo(f"warning: {one_line(warning)}", err=True)
    if record.status != "ok":
        message = one_line(record.message, MAX_MESSAGE)
        click.echo(f"error: status {record.status}: {message}", err=True)
    if hint := _hint(record, folder):
        click.echo(hint, err=True)


def _hint(record: Record, folder: Path) -> str:
    """Return how to go on after an interruption, or where to look after a failure; or ""."""
    if record.interrupted and record.failed_stage == "scoring":
        return f"go on with: ddbench score {record.run_id}"
    if record.interrupted:
        return "sampling can't be resumed, because it has a time limit: run the command again"
    log = folder / "log.txt"
    is_failed = record.status in ("error", "invalid") and record.failed_stage == "sampling"
    return f"log of the method: {one_line(log)}" if is_failed and log.is_file() else ""


def all_runs(roots: Sequence[Path]) -> list[tuple[Path, Record]]:
    """Return the folders and records of all runs. Print problems with them to stderr."""
    from leaderboard.analysis import ranking
    from leaderboard.records import store

    entries, problems = store.entries(roots)
    conflicts = ranking.conflicts(record for _, record in entries)
    for line in [*problems, *conflicts]:
        click.echo(f"warning: {one_line(line)}", err=True)
    return entries


def conclude(
    context: click.Context, records: Sequence[Record], runs: Path, as_json: bool
) -> NoReturn:
    """Print the records as JSON, or the leaderboard of their track, and exit.

    The exit code is 0 if all records have the status ok, else 1.
    """
    if as_json:
        documents = [json.loads(record.to_json()) for record in records]
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))
    else:
        _show_table(records, runs)
    context.exit(0 if all(record.status == "ok" for record in records) else 1)


def _show_table(records: Sequence[Record], runs: Path) -> None:
    from benchmark_adapters import plugins
    from leaderboard.analysis import sections
    from leaderboard.render import tables

    datasets = {name: track.datasets for name, track in plugins.build().tracks.items()}
    stored = [record for _, record in all_runs([runs])]
    own = {record.run_id for record in records}
    shown = sections.build(
        stored,
        records[0].track,
        datasets,
        published=(),
        hides=lambda record: sections.is_failed(record) and record.run_id not in own,
    )
    click.echo(tables.render(shown, "plain"))
    ids = {row.record.run_id for section in shown for row in section.rows}
    for record in records:
        if record.run_id not in ids:
            click.echo(
                f"run {record.run_id} was saved but is hidden from the table: "
                "it duplicates another run (same images, recipe and seeds)",
                err=True,
            )
