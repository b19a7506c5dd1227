"""The command ``ddbench``."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from benchmark_adapters import console, host
from benchmark_adapters.types import UserError
from leaderboard import store, table

FOLDER = click.Path(path_type=Path, file_okay=False)
RUNS = Path("runs")
REPEATS = click.option("--repeats", type=int, help="Evaluation seeds; 0 makes the distilled set and scores nothing.  [default: the track's]")
STUDENTS = click.option("--students", metavar="A,B", help="Networks to train instead of the recipe's.")
DEVICE = click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
DATA = click.option("--data", type=FOLDER, help="Folder of the real datasets.  [env: DDBENCH_DATA]")
KEEP = click.option("--runs", type=FOLDER, default=RUNS, show_default=True, help="Folder that keeps all runs.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the record instead of the table.")


def main() -> None:
    """The command ``ddbench``."""
    console.run(commands)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start with: ddbench run --method generative-turbo",
)
@click.version_option(package_name="ddbench")
def commands() -> None:
    """Distil a dataset under a time limit, score it with fixed students, compare."""


def _host() -> host.Host:
    """All plug-ins; those that failed are named on stderr."""
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results, whatever a plug-in prints
        parts = host.build()
    for line in parts.skipped:
        click.echo(f"warning: {line}", err=True)
    return parts


@commands.command("run")
@click.option("--method", required=True, help="Name of the method; `ddbench list methods` shows all.")
@click.option("--track", default="quickstart", show_default=True)
@click.option("--dataset", help="One dataset of the track.  [default: all]")
@click.option("--ipc", metavar="N|max", help="Images per class, or as many as fit into the time limit.  [default: the track's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the sampling, and the first of the evaluation seeds.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="For making one distilled set, model loading included.  [default: the track's]")
@REPEATS
@STUDENTS
@DEVICE
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="A setting of the method; `ddbench list options METHOD` shows all.")
@click.option("--processes", type=int, default=1, show_default=True, metavar="N", help="Processes that make the set together, a GPU for each.")
@click.option("--shard", metavar="I/N", help="Make the I-th of N parts of a set, I from 0, for `ddbench merge`.")
@DATA
@KEEP
@click.option("--plan", "only_plan", is_flag=True, help="Only try the method for some seconds, and show what IPC the limit allows.")
@AS_JSON
@console.DEBUG
@click.pass_context
def run_command(context: click.Context, /, students: str | None, only_plan: bool, as_json: bool, **asked: Any) -> None:
    """Make a distilled set in time, score it, record it.

    Exit code 0: status ok; 1: the run ended otherwise and its record says why; 2: wrong usage.
    """
    from benchmark_adapters import harness, plan
    from benchmark_adapters.supervisor import INTERRUPTED

    todo = plan.plan(plan.Request(students=_names(students), **asked), _host())
    if only_plan:
        _plan(todo, as_json)
        return
    records = []
    for one in todo:
        with contextlib.redirect_stdout(sys.stderr):
            folder = harness.run(one)
        record = store.read(folder)
        records.append(record)
        _tell(record, folder)
        if INTERRUPTED in record.message:
            break
    _conclude(context, records, asked["runs"], as_json)


def _plan(todo: list[Any], as_json: bool) -> None:
    """What IPC the limit allows, for each dataset."""
    from dataclasses import asdict

    from tabulate import tabulate

    from benchmark_adapters import cost

    documents = []
    for one in todo:
        with contextlib.redirect_stdout(sys.stderr):
            found, traces = cost.measure(one)
            name = f"{one.track.name}-{one.dataset.name}-{one.method.name}"
            plot = cost.save(one.runs / "plans", name, found, traces)
        rows = cost.table(found, one)
        documents.append({"dataset": one.dataset.name, "limit": one.time_limit, **asdict(found), "plan": rows})
        if not as_json:
            click.echo(f"{one.track.name}, {one.dataset.name}, limit {one.time_limit:g} s\n\n{tabulate(rows, headers='keys')}\n\nplot: {plot}")
    if as_json:
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))


def _tell(record: Any, folder: Path) -> None:
    """How a run ended and where it lies, on stderr."""
    click.echo(f"run: {folder}", err=True)
    if licence := record.facts.get("model_licence"):
        click.echo(f"licence of the model {record.model}: {licence}", err=True)
    if record.status != "ok":
        click.echo(f"error: status {record.status}: {record.message}", err=True)


def _records(roots: list[Path]) -> list[Any]:
    """All records that can be read; the others are named on stderr."""
    records, problems = store.records(roots)
    for line in problems:
        click.echo(f"warning: {line}", err=True)
    return records


@commands.command("list")
@click.argument("kind", required=False, type=click.Choice([*host.KINDS, "options"]))
@click.argument("method", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(kind: str | None, method: str | None, as_json: bool) -> None:
    """Show what is installed, or the options of a METHOD."""
    parts = _host()
    if kind == "options":
        if method is None:
            raise UserError("name the method: ddbench list options METHOD")
        listing = {"options": {option.name: _option_text(option) for option in parts.get("methods", method).options}}
    elif method is not None:
        raise UserError(f"unexpected argument {method!r}; only `list options` takes a name")
    else:
        listing = {one: {name: part.summary for name, part in getattr(parts, one).items()} for one in ([kind] if kind else host.KINDS)}
    if as_json:
        click.echo(json.dumps(listing, indent=1))
        return
    width = max((len(name) for entries in listing.values() for name in entries), default=0)
    for title, entries in listing.items():
        click.echo(title)
        for name, text in entries.items() or {"": "none"}.items():
            click.echo(f"  {name:{width}}  {text}".rstrip())


def _option_text(option: Any) -> str:
    kind = "|".join(option.choices) if option.choices else option.type.__name__
    return f"{kind}. {option.help}"


@commands.command("data")
@click.argument("name", required=False, metavar="[DATASET]")
@DATA
@click.option("--download", is_flag=True, help="Get the files of DATASET from where torchvision gets them.")
def data_command(name: str | None, data: Path | None, download: bool) -> None:
    """Show which real datasets are here; how to get the rest.

    With the place and the hash of the test images of each.
    """
    from benchmark_adapters import datasets

    known = _host()
    chosen = [known.get("datasets", name)] if name else list(known.datasets.values())
    if download:
        if name is None:
            raise UserError("name the dataset: ddbench data DATASET --download")
        click.echo(f"downloaded to {datasets.download(chosen[0], data)}")
    missing = False
    for dataset in chosen:
        if dataset.bundled:
            test = datasets.load(dataset, "test", bundled=True)
            click.echo(f"{dataset.name}: {len(test[0]):,} test images bundled, sha256 {datasets.digest(*test)}")
        try:
            folder = datasets.find(dataset, data)
            test = datasets.load(dataset, "test", data)
            click.echo(f"{dataset.name}: found in {folder}, {len(test[0]):,} test images, sha256 {datasets.digest(*test)}")
        except UserError as error:
            missing = True
            click.echo(f"{dataset.name}: {error}")
    if name and missing:
        raise click.exceptions.Exit(1)


@commands.command("show")
@click.argument("run")
@click.option("--runs", type=FOLDER, multiple=True, default=[RUNS], help="Folder of runs.  [default: runs]")
@click.option("--json", "as_json", is_flag=True, help="Print the record.")
def show_command(run: str, runs: tuple[Path, ...], as_json: bool) -> None:
    """Show a RUN: its folder, or how its id begins."""
    from leaderboard import report

    folder = _find(run, runs)
    try:
        record = store.read(folder)
    except ValueError as error:
        raise UserError(str(error)) from None
    click.echo(record.to_json().rstrip() if as_json else report.describe(record, folder))


@commands.command("merge")
@click.argument("shards", nargs=-1, required=True, metavar="RUN [RUN ...]")
@REPEATS
@STUDENTS
@DEVICE
@DATA
@KEEP
@AS_JSON
@console.DEBUG
@click.pass_context
def merge_command(context: click.Context, /, shards: tuple[str, ...], students: str | None, as_json: bool, **asked: Any) -> None:
    """Join the shards that runs with --shard made, and score the set.

    A RUN is a folder, or how its id begins. Exit codes are those of `run`.
    """
    from benchmark_adapters import merging, plan

    folders = [_find(run, [asked["runs"]]) for run in shards]
    request = plan.Request(method="", students=_names(students), **asked)
    with contextlib.redirect_stdout(sys.stderr):
        folder = merging.merge(folders, _host(), request)
    record = store.read(folder)
    _tell(record, folder)
    _conclude(context, [record], asked["runs"], as_json)


def _find(run: str, roots: Sequence[Path]) -> Path:
    try:
        return store.find(run, roots)
    except ValueError as error:
        raise UserError(str(error)) from None


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _conclude(context: click.Context, records: list[Any], runs: Path, as_json: bool) -> NoReturn:
    """Shows the records, or the table of their track, and exits."""
    if as_json:
        documents = [json.loads(record.to_json()) for record in records]
        click.echo(json.dumps(documents if len(documents) > 1 else documents[0], indent=1))
    else:
        click.echo(table.render(table.rows(_records([runs]), records[0].track), "plain"))
    context.exit(0 if all(record.status == "ok" for record in records) else 1)


@commands.command("leaderboard")
@click.option("--track", help="One track.  [default: all]")
@click.option("--runs", type=FOLDER, multiple=True, default=[RUNS], help="Folder of runs; may be given several times.  [default: runs]")
@click.option("--format", "style", type=click.Choice(table.FORMATS), default="github", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write instead of printing.")
def leaderboard_command(track: str | None, runs: tuple[Path, ...], style: str, output: Path | None) -> None:
    """Show all runs as a table, best first.

    Intervals are 95 % t intervals over the evaluation seeds; ranks are shared where Welch's test finds no difference.
    """
    if track:
        _host().get("tracks", track)
    text = table.render(table.rows(_records(list(runs)), track), style)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output} can't be written: {error.strerror}") from None


if __name__ == "__main__":
    main()
