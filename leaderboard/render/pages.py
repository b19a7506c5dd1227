"""The leaderboard and comparisons as folders of HTML pages, complete in themselves.

They need no network, and no script to be read. Names, messages and pictures come from untrusted
records: the templates escape every text, and of a run's folder only a PNG file is taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from leaderboard.analysis import sections
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
from leaderboard.render.html_tables import HtmlTable
from leaderboard.render.page_folder import INDEX, TEMPLATES, Layout
from leaderboard.text import one_line

LEADERBOARD = Layout("ddbench leaderboard", ("runs", "plots", "grids", "confusion"))
COMPARISON = Layout("ddbench compare", ("grids",))
MAX_NUMBERS = 30  # classes of a confusion matrix with numbers; larger ones are a picture
Names = Mapping[Row, str]  # of the files of a run


@dataclass(frozen=True)
class Plot:
    """A plot: its file, and what is to be seen in it, in words."""

    file: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Grid:
    """The images of a compared run; no file where there are none."""

    name: str
    file: str | None


@dataclass(frozen=True)
class SectionView:
    """A track as the template of the index wants it."""

    track: str
    id: str
    tables: list[HtmlTable]
    published: list[HtmlTable]
    plots: list[Plot]


def write(
    entries: Sequence[tuple[Path, Record]],
    output: Path,
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the pages of ``entries`` (`store.entries`) and return their index.html.

    Args:
        entries: folders and records of runs.
        output: a new folder, or one that this function wrote before.
        track: the only track to be shown.
        datasets: those of each track.

    Raises:
        ValueError: ``output`` is a folder of something else.
        OSError: it can't be written.
    """
    shown = sections.build([record for _, record in entries], track, datasets)
    rows = [row for section in shown for row in section.rows]
    folders = {id(record): folder for folder, record in entries}
    names = _names(rows)
    with page_folder.replaced(output, LEADERBOARD) as folder:
        views = [_section(section, index, names, folder) for index, section in enumerate(shown)]
        _write(folder / INDEX, LEADERBOARD, title="Leaderboard", sections=views)
        for row in rows:
            write_run(row, folders[id(row.record)], names[row], folder)
    return output / INDEX


def write_comparison(comparison: Comparison, folders: Sequence[Path], output: Path) -> Path:
    """Write the page of a comparison of the runs in ``folders``; raises as `write`."""
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


def write_run(row: Row, source: Path, name: str, output: Path) -> None:
    """Write the page of a run with its pictures.

    Args:
        row: of the leaderboard.
        source: the run's folder.
        name: of the files.
        output: the folder of all pages.
    """
    record = row.record
    matrix = record.confusion or []
    names = report.class_names(record, source)
    classes = report.class_table(record, names)
    grid, picture = f"grids/{name}.png", f"confusion/{name}.png"
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
        classes=html_tables.plain(classes) if classes.rows else None,
        matrix=pictures.heat(matrix) if has_numbers else [],
        matrix_picture=None if has_numbers else picture,
        names=names,
        grid=grid if pictures.copy_grid(source, output / grid) else None,
    )


def _names(rows: Iterable[Row]) -> Names:
    """Return the name of each row's files: its run's id, with a number where another has it too.

    They are in small letters, since some file systems ignore case.
    """
    names: dict[Row, str] = {}
    used: set[str] = set()
    for row in rows:
        run_id = row.record.run_id.lower()
        candidates = (f"{run_id}-{number}" if number else run_id for number in count())
        names[row] = next(name for name in candidates if name not in used)
        used.add(names[row])
    return names


def _section(section: Section, index: int, names: Names, output: Path) -> SectionView:
    """Return a track for the template; write its plots."""
    pages = {row: f"runs/{names[row]}.html" for row in section.rows}
    means = [html_tables.ranked(table, {}) for table in tables.means(section)]
    runs = [html_tables.ranked(table, pages) for table in tables.runs(section)]
    return SectionView(
        track=section.track,
        id=f"track-{index}",
        tables=means + runs,
        published=[html_tables.published(table) for table in tables.published(section)],
        plots=_plots(section, index, output),
    )


def _plots(section: Section, number: int, output: Path) -> list[Plot]:
    """Write the plots of a track, one against each axis for each dataset, and return them."""
    written = []
    for index, (dataset, rows) in enumerate(section.by_dataset.items()):
        for axis in (plots.IPC, plots.SECONDS):
            svg = plots.accuracy(rows, axis, section.published.get(dataset, ()))
            if svg is None:
                continue
            file = f"plots/{number}-{index}-{axis.name}.svg"
            (output / file).write_text(svg, encoding="utf-8")
            caption = f"{dataset}: accuracy and 95 % interval against {axis.words}"
            alt = _in_words(plots.plotted(rows, axis), dataset, axis.words)
            written.append(Plot(file, caption, alt))
    return written


def _in_words(rows: Sequence[Row], dataset: str, against: str) -> str:
    best = max(rows, key=lambda row: row.accuracy_mean or 0.0)
    runs = f"{len(rows)} run{'s' if len(rows) > 1 else ''}"
    highest = f"{columns.percent(best.accuracy_mean)} % by {columns.method_name(best.record)}"
    return (
        f"Accuracy on {dataset} against {against}, {runs}; the highest is {highest}. "
        "The table has all values."
    )


def _write(
    path: Path, layout: Layout, title: str, template: str = INDEX, root: str = "", **values: Any
) -> None:
    """Write a page.

    Args:
        path: the file.
        layout: of its folder.
        title: of the page.
        template: name of its template.
        root: the address of the folder of all pages, from the page.
        values: further values for the template.
    """
    text = _template(template).render(generator=layout.generator, title=title, root=root, **values)
    path.write_text(text, encoding="utf-8")


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
