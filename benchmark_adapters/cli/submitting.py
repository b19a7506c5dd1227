"""Commands for sets that exist already: strangers' files, and the images of runs."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmark_adapters import console
from benchmark_adapters.cli import shared
from benchmark_adapters.types import UserError, one_line
from leaderboard.records import store

HOUR, DAY = 3_600.0, 86_400.0


@click.command("check")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", metavar="FORMAT", required=True, help="`ddbench list formats` shows all."
)
@click.option("--dataset", required=True, help="What the set is of.")
@shared.DATA
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@console.DEBUG
def check_command(path: Path, form: str, dataset: str, data: Path | None, as_json: bool) -> None:
    """Check a distilled set that somebody sent: a file or folder.

    Nothing in it is executed. Exit code 0: no errors were found; 1: some were; 2: wrong usage.
    """
    from benchmark_adapters.runs import submissions

    parts = shared.host_of_plugins()
    findings, size = submissions.check(
        path,
        parts.get("formats", form),
        parts.get("datasets", dataset),
        data,
        submissions.Limits(seconds=HOUR),
    )
    errors = any(finding.level == "error" for finding in findings)
    if as_json:
        click.echo(
            json.dumps(
                {"ok": not errors, **size, "findings": [asdict(finding) for finding in findings]},
                indent=1,
            )
        )
    else:
        click.echo(
            f"{path}: {size['images']:,} images of {dataset}, IPC {size['ipc']}, {size['pixels']}"
        )
        for finding in findings:
            click.echo(f"{finding.level}: {one_line(finding.text)}", err=finding.level == "error")
        click.echo("not fit for scoring" if errors else "fit for scoring")
    raise click.exceptions.Exit(1 if errors else 0)


@click.command("export")
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]")
@click.option(
    "--format", "form", metavar="FORMAT", required=True, help="`ddbench list formats` shows all."
)
@click.option("--output", type=shared.FOLDER, required=True, help="New folder for the files.")
@click.option(
    "--truth",
    is_flag=True,
    help="Write the real test images too, as the format's own evaluator reads them.",
)
@shared.DATA
@click.option(
    "--runs",
    "roots",
    type=shared.FOLDER,
    default=shared.RUNS,
    show_default=True,
    help="Folder of runs.",
)
@console.DEBUG
def export_command(
    runs: tuple[str, ...], form: str, output: Path, truth: bool, data: Path | None, roots: Path
) -> None:
    """Write the images of runs in another format, one run for each dataset."""
    from benchmark_adapters.runs import submissions

    parts = shared.host_of_plugins()
    files = submissions.export(
        [shared.find(run, [roots]) for run in runs],
        parts.get("formats", form),
        parts,
        output,
        truth,
        data,
    )
    for file in files[:10]:
        click.echo(file)
    if len(files) > 10:
        click.echo(f"... and {len(files) - 10:,} more files in {output}")


@click.command("score")
@click.argument("path", metavar="PATH|RUN")
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    help="Of the files at PATH; `ddbench list formats` shows all. A RUN needs none.",
)
@click.option("--track", help="[default: the RUN's]")
@click.option(
    "--name", metavar="TEAM", help="Whose the set is. Without it each folder at PATH is a team."
)
@click.option("--dataset", help="One dataset of the track.  [default: all]")
@click.option("--recipe", help="Instead of the track's.")
@click.option(
    "--seed", type=int, help="The first of the evaluation seeds.  [default: the RUN's; for files 0]"
)
@shared.REPEATS
@shared.STUDENTS
@shared.DEVICE
@click.option(
    "--native",
    "checkout",
    type=click.Path(path_type=Path),
    metavar="CHECKOUT",
    help="Also run the challenge's evaluate.py in this folder of yours.",
)
@click.option(
    "--max-seconds",
    type=float,
    default=DAY,
    show_default=True,
    help="For scoring one set on one dataset.",
)
@click.option(
    "--max-memory",
    type=float,
    metavar="GIB",
    help="For scoring one set.  [default: three quarters of the machine's]",
)
@shared.DATA
@shared.KEEP
@shared.AS_JSON
@console.DEBUG
@click.pass_context
def score_command(
    context: click.Context,
    /,
    path: str,
    form: str | None,
    name: str | None,
    students: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Check a set and train students on it; write a record.

    PATH is a file or folder of a FORMAT, or a folder with such a folder for each team. A RUN is scored again, for example with
    other --students or another --recipe. Exit code 0: all were scored; 1: some were not, and their records say why; 2: wrong usage.
    """
    from benchmark_adapters.runs import request as plan
    from benchmark_adapters.runs import submissions

    parts, limits = (
        shared.host_of_plugins(),
        _limits(asked.pop("max_seconds"), asked.pop("max_memory")),
    )
    checkout, seed = asked.pop("checkout"), asked.pop("seed")
    entries, track = _entries(
        path, form, name, asked["track"], asked["dataset"], asked["runs"], parts
    )
    request = plan.Request(
        **{**asked, "method": "", "track": track, "students": shared.names(students)}
    )
    records = []
    for one in entries:
        with contextlib.redirect_stdout(sys.stderr):
            for folder in submissions.score(one, request, parts, limits, checkout, seed):
                records.append(store.read(folder))
                shared.tell(records[-1], folder)
        if records[-1].interrupted:
            break
    shared.conclude(context, records, asked["runs"], as_json)


def _entries(
    path: str,
    form: str | None,
    name: str | None,
    track: str | None,
    dataset: str | None,
    runs: Path,
    parts: Any,
) -> tuple[list[Any], str]:
    """What to score, and by which track."""
    from benchmark_adapters.runs import submissions

    if form is None:
        one = submissions.of_run(shared.find(path, [runs]))
        if name is not None:
            raise UserError(
                "--name is for files; a run has its method's name. For files say their --format"
            )
        return [one], track or one.record.track  # type: ignore[union-attr]
    if track is None:
        raise UserError("name the track of the files: --track")
    names = [dataset] if dataset else parts.get("tracks", track).datasets
    chosen = [parts.get("datasets", one) for one in names]
    return submissions.teams(Path(path), parts.get("formats", form), name, chosen), track


def _limits(seconds: float, gibibytes: float | None) -> Any:
    from benchmark_adapters.runs import submissions

    if not 0 < seconds <= 30 * DAY:
        raise UserError(f"--max-seconds {seconds:g}: expected more than 0 and at most {30 * DAY:g}")
    if gibibytes is not None and not 0 < gibibytes < 2**20:
        raise UserError(f"--max-memory {gibibytes:g}: expected GiB, more than 0")
    return submissions.Limits(seconds, int((gibibytes or 0) * 2**30))
