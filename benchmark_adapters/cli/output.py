"""Output and exit codes shared by several commands."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from benchmark_adapters import reporting
from benchmark_adapters.cli import options
from benchmark_adapters.types import one_line

if TYPE_CHECKING:
    from benchmark_adapters.plugins import Plugins
    from leaderboard.analysis.overview import Overview
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
    """Print the folder of a run, its model's licence, its warnings and its error to stderr."""
    reporting.say(f"run: {one_line(folder)}")
    if record.model_licence:
        reporting.say(one_line(f"licence of the model {record.model}: {record.model_licence}"))
    found = [check.text for check in record.checks if check.level == "warning"]
    for warning in [*record.metadata.get("warnings", []), *found]:
        click.echo(f"warning: {one_line(warning)}", err=True)
    if record.status != "ok":
        message = one_line(record.message, MAX_MESSAGE)
        click.echo(f"error: status {record.status}: {message}", err=True)
    if hint := _hint(record, folder):
        click.echo(hint, err=True)


def _hint(record: Record, folder: Path) -> str:
    """Return how to go on after an interruption, or where to look after a failure; or ""."""
    if record.interrupted or record.failed_stage == "scoring":
        runs = next(iter(folder.parents[3:4]), Path("runs"))
        place = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
        return f"go on with: ddbench resume {record.run_id}{place}"
    log = folder / "log.txt"
    is_failed = record.status in ("error", "invalid") and record.failed_stage == "sampling"
    return f"log of the method: {one_line(log)}" if is_failed and log.is_file() else ""


def all_entries(roots: Sequence[Path]) -> list[tuple[Path, Record]]:
    """Return folder and record of all runs, oldest first. Print problems with them to stderr."""
    from leaderboard.records import store

    entries, problems = store.entries(roots)
    warn(problems)
    return entries


@contextlib.contextmanager
def overview_of(roots: Sequence[Path], plugins: Plugins, track: str | None) -> Iterator[Overview]:
    """Yield the standings of all runs. Print problems with the runs to stderr.

    Args:
        roots: runs folders.
        plugins: the installed plugins.
        track: the track that the user named, if any. Its file, if it has one, states its rules.

    Raises:
        UserError: the file is wrong.
    """
    from benchmark_adapters import track_demands
    from leaderboard.analysis import duplicates, overview

    with overview.opened(roots, lambda runs: track_demands.known(plugins, runs, track)) as found:
        warn(found.problems)
        warn(duplicates.conflicts(found.board))
        yield found


def warn(lines: Iterable[str]) -> None:
    """Print problems with runs to stderr."""
    for line in lines:
        click.echo(f"warning: {one_line(line)}", err=True)


def conclude(
    context: click.Context,
    records: Sequence[Record],
    runs: Path,
    as_json: bool,
    track: str | None = None,
    are_all: bool = True,
) -> NoReturn:
    """Print the records as JSON, or the leaderboard of each of their tracks, and exit.

    The exit code is 0 if all records have the status ok and ``are_all`` that there should be,
    else 1. ``track`` is the track that the user named, as in `overview_of`.
    """
    if as_json:
        documents = [json.loads(record.to_json()) for record in records]
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1))
    else:
        for name in dict.fromkeys(record.track for record in records):
            of_track = [record for record in records if record.track == name]
            _show_table(of_track, runs, track)
    is_fine = are_all and all(record.status == "ok" for record in records)
    context.exit(0 if is_fine else 1)


def _show_table(records: Sequence[Record], runs: Path, track: str | None) -> None:
    from benchmark_adapters import plugins
    from leaderboard.analysis import demands, sections
    from leaderboard.analysis.sections import Selection
    from leaderboard.render import tables

    own = {record.run_id for record in records}
    with overview_of([runs], plugins.build(), track) as found:
        shown = sections.build(
            found.board,
            found.brief,
            records[0].track,
            demands.datasets(found.demands),
            published=(),
            by_records=demands.by_records(found.demands),
            selection=Selection(
                hides=sections.is_failed,
                keeps=lambda run: run.run_id in own,
                most=options.ROWS,
            ),
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
