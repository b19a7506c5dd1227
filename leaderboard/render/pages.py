"""Write the leaderboard and comparisons as self-contained folders of HTML pages.

Reading the pages needs no network and no scripts. Names, messages and pictures come from untrusted
records, so the templates escape all text, and only a PNG file is copied from a run's folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from leaderboard.analysis import sections
from leaderboard.analysis.board import held
from leaderboard.analysis.comparison import Comparison
from leaderboard.analysis.ranking import Row
from leaderboard.analysis.sections import Section
from leaderboard.records.record import Record
from leaderboard.render import (
    columns,
    comparison_tables,
    html_tables,
    page_folder,
    pictures,
    plots,
    report,
    tables,
)
from leaderboard.render.html_tables import HtmlTable, Legend
from leaderboard.render.page_folder import INDEX, TEMPLATES, Layout
from leaderboard.text import one_line, plural, without_controls

LEADERBOARD = Layout("ddbench leaderboard", ("runs", "plots", "grids", "confusion"))
COMPARISON = Layout("ddbench compare", ("grids",))
# A confusion matrix of more classes than this is drawn as a picture instead of numbers.
MAX_NUMBERS = 30
# The name of the files of each run.
Names = Mapping[Row, str]


@dataclass(frozen=True)
class Plot:
    """A plot: its file, and its content in words."""

    file: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Grid:
    """The images of a compared run. ``file`` is None if there are no images."""

    name: str
    file: str | None


@dataclass(frozen=True)
class SectionView:
    """A track in the form that the template of the index expects."""

    track: str
    id: str
    means: list[HtmlTable]
    runs: list[HtmlTable]
    published: list[HtmlTable]
    plots: list[Plot]
    note: str


def write(
    entries: Sequence[tuple[Path, Record]],
    output: Path,
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
    title: str = "Leaderboard",
    by_records: Collection[str] = (),
) -> Path:
    """Write the pages of the leaderboard.

    Args:
        entries: folder and record of each run, each record as from `verdicts.judged`.
        output: a new folder, or one that this function wrote before.
        track: the only track to show. None shows all tracks.
        datasets: names of the datasets of each track.
        title: title of the index.
        by_records: as for `sections.build`.

    Returns:
        The path of index.html.

    Raises:
        ValueError: ``output`` contains anything other than such pages.
        OSError: ``output`` can't be written.
    """
    with held(record for _, record in entries) as (board, read):
        shown = sections.build(board, read, track, datasets, by_records=by_records)
    rows = [row for section in shown for row in section.rows]
    folders = {id(record): folder for folder, record in entries}
    names = _names(rows)
    with page_folder.replaced(output, LEADERBOARD) as folder:
        grids = {row: write_run(row, folders[id(row.record)], names[row], folder) for row in rows}
        views = [
            _section(section, index, names, grids, folder) for index, section in enumerate(shown)
        ]
        _write(
            folder / INDEX,
            LEADERBOARD,
            title=one_line(title),
            sections=views,
            legends=_legends(views),
            written=datetime.now(UTC).date().isoformat(),
            newest=max((row.record.created[:10] for row in rows), default=""),
        )
    return output / INDEX


def write_comparison(comparison: Comparison, folders: Sequence[Path], output: Path) -> Path:
    """Write the page of a comparison of the runs in ``folders`` and return its path.

    Raises:
        ValueError: ``output`` contains anything other than such a page.
        OSError: ``output`` can't be written.
    """
    labels = comparison_tables.labels(comparison)
    classes = comparison_tables.classes(comparison)
    settings = comparison_tables.settings(comparison)
    with page_folder.replaced(output, COMPARISON) as folder:
        grids = [
            _compared_grid(label, run, source, folder)
            for label, run, source in zip(labels, comparison.runs, folders, strict=True)
        ]
        _write(
            folder / INDEX,
            COMPARISON,
            title=f"Comparison on {comparison.runs[0].dataset}",
            template="compare.html",
            grids=grids,
            scores=html_tables.plain(comparison_tables.scores(comparison)),
            settings=html_tables.plain(settings) if settings.rows else None,
            classes=html_tables.plain(classes) if classes.rows else None,
        )
    return output / INDEX


def _compared_grid(label: str, run: Record, source: Path, output: Path) -> Grid:
    file = f"grids/{label}.png"
    copied = pictures.copy_grid(source, output / file)
    return Grid(f"{label}: {run.method}, {run.run_id}", file if copied else None)


def write_run(row: Row, source: Path, name: str, output: Path) -> str:
    """Write the page and the pictures of a run.

    Args:
        row: the run's row in the leaderboard.
        source: the run's folder.
        name: name of the files to write.
        output: the folder of all pages.

    Returns:
        The file of the grid of images in ``output``, or an empty text if there are no images.
    """
    record = row.record
    # A matrix without a single prediction would be an empty picture.
    matrix = record.confusion if record.confusion and any(map(any, record.confusion)) else []
    names = report.class_names(record, source)
    classes = report.class_table(record, names)
    grid, picture = f"grids/{name}.png", f"confusion/{name}.png"
    has_grid = pictures.copy_grid(source, output / grid)
    has_numbers = len(matrix) <= MAX_NUMBERS
    if not has_numbers:
        pictures.draw_matrix(matrix, output / picture)
    _write(
        output / "runs" / f"{name}.html",
        LEADERBOARD,
        title=f"{columns.method_name(record)} on {one_line(record.dataset)}",
        template="run.html",
        root="../",
        record=record,
        rank=row.rank,
        interval=columns.interval(row.accuracy_ci95),
        details=report.details(record),
        command=report.command(record),
        rerun=report.rerun(record),
        classes=html_tables.plain(classes) if classes.rows else None,
        matrix=pictures.heat(matrix) if has_numbers else [],
        matrix_picture=None if has_numbers else picture,
        names=names,
        grid=grid if has_grid else None,
    )
    return grid if has_grid else ""


def _names(rows: Iterable[Row]) -> Names:
    """Return the name of each row's files: the run id, with a number if the id is not unique.

    The names are in lower case, since some file systems ignore case.
    """
    names: dict[Row, str] = {}
    used: set[str] = set()
    for row in rows:
        run_id = row.record.run_id.lower()
        candidates = (f"{run_id}-{number}" if number else run_id for number in count())
        names[row] = next(name for name in candidates if name not in used)
        used.add(names[row])
    return names


def _section(
    section: Section, index: int, names: Names, grids: Mapping[Row, str], output: Path
) -> SectionView:
    """Write the plots of a track, and return the track for the template."""
    pages = {row: f"runs/{names[row]}.html" for row in section.rows}
    return SectionView(
        track=section.track,
        id=f"track-{index}",
        means=[html_tables.ranked(table, {}) for table in tables.means(section)],
        runs=[html_tables.ranked(table, pages, grids) for table in tables.runs(section)],
        published=[html_tables.published(table) for table in tables.published(section)],
        plots=_plots(section, index, output),
        note=section.note,
    )


def _legends(views: Sequence[SectionView]) -> list[Legend]:
    """Return a legend for each kind of table on the index."""
    legends = [
        html_tables.legend("Runs", [table for view in views for table in view.runs]),
        html_tables.legend(
            "Means over datasets", [table for view in views for table in view.means]
        ),
        html_tables.legend(
            "Published results", [table for view in views for table in view.published]
        ),
    ]
    return [legend for legend in legends if legend.meanings]


def _plots(section: Section, number: int, output: Path) -> list[Plot]:
    """Write the plots of a track, and return those that have something to show.

    ``number`` is the number of the track. It makes the names of the files unique in ``output``.
    """
    written = []
    for index, (dataset, rows) in enumerate(section.by_dataset.items()):
        for axis in (plots.IPC, plots.SECONDS):
            svg = plots.accuracy(rows, axis, section.published.get(dataset, ()))
            if svg is None:
                continue
            file = f"plots/{number}-{index}-{axis.name}.svg"
            (output / file).write_text(without_controls(svg), encoding="utf-8")
            caption = f"{dataset}: accuracy with 95 % interval against {axis.words}"
            alt = _description(plots.plotted(rows, axis), dataset, axis.words)
            written.append(Plot(file, caption, alt))
    return written


def _description(rows: Sequence[Row], dataset: str, against: str) -> str:
    """Return a description of a plot for readers who can't see it."""
    best = max(rows, key=lambda row: row.accuracy_mean or 0.0)
    runs = f"{len(rows)} {plural(len(rows), 'run')}"
    highest = f"{columns.percent(best.accuracy_mean)} % ({columns.method_name(best.record)})"
    return (
        f"Accuracy on {dataset} against {against} for {runs}. The highest is {highest}. "
        "The table lists all values."
    )


def _write(
    path: Path, layout: Layout, title: str, template: str = INDEX, root: str = "", **values: Any
) -> None:
    """Write a page.

    Args:
        path: the file to write.
        layout: layout of the folder of all pages.
        title: title of the page.
        template: name of the template.
        root: address of the folder of all pages, relative to the page.
        values: further values for the template.
    """
    text = _template(template).render(generator=layout.generator, title=title, root=root, **values)
    # Untrusted text may come by many ways, so what no page needs is taken out in the end.
    path.write_text(without_controls(text), encoding="utf-8")


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
