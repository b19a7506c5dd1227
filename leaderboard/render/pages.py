"""The leaderboard as a folder of HTML pages, complete in itself: no network, and no script needed to read it.

Names, messages and pictures come from strangers' records: the templates escape every text, and of a run's folder nothing but a PNG file is taken over.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from leaderboard.analysis import comparison
from leaderboard.analysis import sections as board
from leaderboard.analysis.comparison import Comparison
from leaderboard.analysis.ranking import Row
from leaderboard.analysis.sections import Section
from leaderboard.analysis.stats import within
from leaderboard.files import read_bounded
from leaderboard.records.record import Record
from leaderboard.render import plots, report
from leaderboard.render import tables as table
from leaderboard.text import one_line

HERE = Path(__file__).parent / "templates"
STATIC = ("style.css", "sort.js")
INDEX = "index.html"
LEADERBOARD, COMPARISON = (
    "ddbench leaderboard",
    "ddbench compare",
)  # generators, by which a folder is known as one of ours
PARTS = {
    LEADERBOARD: {INDEX, *STATIC, "runs", "plots", "grids", "confusion"},
    COMPARISON: {INDEX, *STATIC, "grids"},
}
LARGEST_INDEX = 32 * 2**20  # bytes
LARGEST_GRID = 20 * 2**20  # bytes
MOST_PIXELS = 40 * 10**6  # of a grid; a small file can hold very many
MOST_CELLS = 30  # classes of a confusion matrix with numbers; larger ones are a picture
PNG = b"\x89PNG\r\n\x1a\n"
NUMERIC = ("rank", "IPC", "accuracy %", "mean %", "n", "images/s", "time s", "limit s")
WHOLE = ("95 % interval", "hardware", "date", "model")
LONG = ("status", "source", "protocol", "missing")
SECONDARY = (
    "images/s",
    "limit s",
    "model",
    "hardware",
    "date",
    "student",
    "protocol",
)  # not on a phone


def write(
    entries: Sequence[tuple[Path, Record]],
    output: Path,
    track: str | None = None,
    datasets: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Writes the pages of ``entries`` (`store.entries`) into ``output``, new or made by this before; returns its index.html.

    Raises:
        ValueError: ``output`` is a folder of something else.
        OSError: it can't be written.
    """
    with _replaced(output, LEADERBOARD) as beside:
        _write(entries, beside, track, datasets)
    return output / INDEX


def write_comparison(found: Comparison, folders: Sequence[Path], output: Path) -> Path:
    """Writes the page of a comparison of the runs in ``folders``; as `write`."""
    with _replaced(output, COMPARISON) as beside:
        grids = []
        for label, run, folder in zip(comparison.labels(found), found.runs, folders, strict=True):
            file = f"grids/{label}.png"
            grids.append(
                {
                    "name": f"{label}: {run.method}, {run.run_id}",
                    "file": file if _grid(folder, beside / file) else None,
                }
            )
        tables = {
            "scores": comparison.scores(found),
            "settings": comparison.settings(found),
            "classes": comparison.classes(found),
        }
        text = _template("compare.html").render(
            root="",
            generator=COMPARISON,
            title=f"Comparison on {found.runs[0].dataset}",
            grids=grids,
            **tables,
        )
        (beside / INDEX).write_text(text, encoding="utf-8")
    return output / INDEX


@contextmanager
def _replaced(output: Path, generator: str) -> Iterator[Path]:
    """A new folder, with style and script, which takes the place of ``output`` when all is written."""
    if output.exists() and not _is_ours(output, generator):
        raise ValueError(
            f"{output} holds something else than pages of `{generator}`; nothing is overwritten, choose a new folder"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as scratch:
        beside, old = Path(scratch, "new"), Path(scratch, "old")
        for folder in (beside, *(beside / part for part in PARTS[generator] if "." not in part)):
            folder.mkdir()
        for name in STATIC:
            shutil.copyfile(HERE / name, beside / name)
        yield beside
        if output.exists():
            output.rename(old)
        try:
            beside.rename(output)
        except OSError:
            if old.exists() and not output.exists():
                old.rename(output)
            raise


def _is_ours(folder: Path, generator: str) -> bool:
    """Empty, or with nothing but our own parts, and an index that names its generator."""
    if not folder.is_dir():
        return False
    parts = {part.name for part in folder.iterdir()}
    if not parts <= PARTS[generator]:
        return False
    try:
        return (
            not parts
            or f'content="{generator}"'.encode()
            in read_bounded(folder / INDEX, LARGEST_INDEX)[:4096]
        )
    except (OSError, ValueError):
        return False


def _write(
    entries: Sequence[tuple[Path, Record]],
    output: Path,
    track: str | None,
    datasets: Mapping[str, Sequence[str]] | None,
) -> None:
    sections = board.sections([record for _, record in entries], track, datasets)
    _name_pages(sections)
    shown = [_shown(section, number, output) for number, section in enumerate(sections)]
    (output / INDEX).write_text(
        _template(INDEX).render(
            sections=shown, root="", generator=LEADERBOARD, title="Leaderboard"
        ),
        encoding="utf-8",
    )
    places = {_identity(vars(record)): (folder, record) for folder, record in reversed(entries)}
    for section in sections:
        for row in section.rows:
            folder, record = places[_identity(row)]
            (output / "runs" / f"{row['page']}.html").write_text(
                run_page(folder, record, row, output), encoding="utf-8"
            )


def _identity(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells two runs apart, also where strangers gave them the same id."""
    return tuple(
        row[name]
        for name in (
            "run_id",
            "track",
            "dataset",
            "method",
            "student",
            "recipe_sha256",
            "created",
            "images_sha256",
        )
    )


def _name_pages(sections: Iterable[Section]) -> None:
    """Gives each row a ``page``, the name of its files: its id, which a number follows where another has it too. Small letters: not all disks know capitals."""
    used: set[str] = set()
    for row in (row for section in sections for row in section.rows):
        names = (f"{row['run_id']}{f'-{number}' if number else ''}".lower() for number in count())
        row["page"] = next(name for name in names if name not in used)
        used.add(row["page"])


@dataclass(frozen=True)
class Column:
    """Of a table: whether it holds numbers, whether a phone has room for it, and how it may be broken into lines."""

    name: str

    @property
    def numeric(self) -> bool:
        return self.name in NUMERIC or self.name.endswith("%")

    @property
    def secondary(self) -> bool:
        return self.name in SECONDARY

    @property
    def kind(self) -> str:
        return (
            "name"
            if self.name == "method"
            else "whole"
            if self.name in WHOLE
            else "text"
            if self.name in LONG
            else ""
        )


@dataclass(frozen=True)
class Table:
    """A table for the template: of each row the texts, with the address of a run's page, the interval's place in the range of all, and what stands out."""

    title: str
    columns: list[Column]
    rows: list[dict[str, Any]]


def _shown(section: Section, number: int, output: Path) -> dict[str, Any]:
    """A track as its template wants it; writes its plots."""
    rows = [*section.means.values(), *section.tables.values()]
    tables = [
        _table(title, of_table, texts)
        for of_table, (title, texts) in zip(rows, table.texts(section), strict=True)
    ]
    published = [
        {
            "table": _table(
                table.published_title(dataset), [], [table.reference_cells(one) for one in found]
            ),
            "urls": [one.url for one in found],
        }
        for dataset, found in section.published.items()
    ]
    return {
        "track": section.track,
        "id": f"track-{number}",
        "tables": tables,
        "published": published,
        "plots": _plots(section, number, output),
    }


def _table(title: str, rows: Sequence[Row], cells: Sequence[dict[str, str]]) -> Table:
    names = [name for name in cells[0] if name != "run"]
    low, high = _span(rows)
    shown = []
    for at, texts in enumerate(cells):
        row = rows[at] if rows else {}
        bar = (
            [round(100 * (end - low) / (high - low), 1) for end in _ends(row)]
            if _ends(row) and high > low
            else None
        )
        begins = " begins" if at and rows and row["category"] != rows[at - 1]["category"] else ""
        state = (
            "ranked"
            if row.get("rank")
            else "apart"
            if row.get("status", "ok") == "ok"
            else "failed"
        )
        shown.append(
            {
                "texts": texts,
                "page": row.get("page"),
                "bar": bar,
                "state": (state if rows else "published") + begins,
            }
        )
    return Table(title, [Column(name) for name in names], shown)


def _ends(row: Row) -> list[float]:
    """Low end of the interval, mean, high end; without an interval the mean alone."""
    mean, interval = row.get("accuracy_mean"), within(row.get("accuracy_ci95"))
    if mean is None:
        return []
    return [interval[0], mean, interval[1]] if interval else [mean, mean, mean]


def _span(rows: Iterable[Row]) -> tuple[float, float]:
    ends = [end for row in rows for end in _ends(row)]
    return (min(ends), max(ends)) if ends else (0.0, 0.0)


def _plots(section: Section, number: int, output: Path) -> list[dict[str, str]]:
    """Files of the plots, one of each kind for each dataset, and what is to be seen in them in words."""
    found = []
    for index, (dataset, rows) in enumerate(section.datasets.items()):
        for against, words in (
            ("ipc", "images per class"),
            ("seconds", "the seconds that making the set took"),
        ):
            svg = plots.accuracy(rows, against, section.published.get(dataset, ()))
            if svg:
                file = f"plots/{number}-{index}-{against}.svg"
                (output / file).write_text(svg, encoding="utf-8")
                found.append(
                    {
                        "file": file,
                        "caption": f"{dataset}: accuracy and 95 % interval against {words}",
                        "alt": _in_words(plots.shown(rows, against), dataset, words),
                    }
                )
    return found


def _in_words(rows: Sequence[Row], dataset: str, against: str) -> str:
    best = max(rows, key=lambda row: row["accuracy_mean"])
    runs = f"{len(rows)} run{'s' if len(rows) > 1 else ''}"
    return f"Accuracy on {dataset} against {against}, {runs}; the highest is {100 * best['accuracy_mean']:.2f} % by {table.name(best)}. The table has all values."


def run_page(folder: Path, record: Record, row: Row, output: Path) -> str:
    """HTML of a run's page; puts its pictures into ``output``."""
    names = report.class_names(record, folder)
    files = {"grid": f"grids/{row['page']}.png", "matrix_picture": f"confusion/{row['page']}.png"}
    grid = _grid(folder, output / files["grid"])
    matrix = record.confusion or []
    picture = len(matrix) > MOST_CELLS
    if picture:
        _matrix_picture(matrix, output / files["matrix_picture"])
    return _template("run.html").render(
        root="../",
        generator=LEADERBOARD,
        title=f"{table.name(row)} on {one_line(record.dataset)}",
        interval=_interval(row),
        record=record,
        rank=row["rank"],
        facts=report.facts(record),
        command=report.command(record),
        options=record.options,
        reported=list(record.metadata.items()),
        classes=report.per_class(record, names),
        matrix=[] if picture else _heat(matrix),
        matrix_picture=files["matrix_picture"] if picture else None,
        names=names,
        grid=files["grid"] if grid else None,
    )


def _grid(folder: Path, target: Path) -> bool:
    """Takes over the run's pictures: only a file, only a PNG, only of a bounded size; links could lead to other files of the organiser."""
    source = folder / "grid.png"
    try:
        data = b"" if source.is_symlink() else read_bounded(source, LARGEST_GRID)
    except (OSError, ValueError):
        return False
    width, height = (
        int.from_bytes(data[start : start + 4], "big") for start in (16, 20)
    )  # of the first chunk, IHDR
    if not data.startswith(PNG) or not 0 < width * height <= MOST_PIXELS:
        return False
    target.write_bytes(data)
    return True


def _interval(row: Row) -> str:
    bounds = within(row["accuracy_ci95"])
    return table.interval(bounds) if bounds else ""


def _heat(matrix: Sequence[Sequence[int]]) -> list[list[tuple[str, int]]]:
    """Share of a true class's images in per cent, and a step of 0 to 9 for its colour."""
    shares = [[count / max(sum(row), 1) for count in row] for row in matrix]
    return [[(f"{100 * share:.0f}", min(9, int(10 * share))) for share in row] for row in shares]


def _matrix_picture(matrix: Sequence[Sequence[int]], target: Path) -> None:
    """A PNG in which each cell's darkness is its share of the true class."""
    from PIL import Image

    totals = [max(sum(row), 1) for row in matrix]
    shares = bytes(
        255 - round(255 * count / total)
        for row, total in zip(matrix, totals, strict=True)
        for count in row
    )
    scale = max(1, 600 // len(matrix))
    size = len(matrix) * scale
    Image.frombytes("L", (len(matrix), len(matrix)), shares).resize(
        (size, size), Image.Resampling.NEAREST
    ).save(target)


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
