"""The memory that a leaderboard takes does not grow with its runs."""

import gc
import tracemalloc

import many_records
import pytest

from benchmark_adapters import plugins, track_demands
from leaderboard.analysis import demands, duplicates, overview, sections
from leaderboard.records import index, store
from leaderboard.render import tables

INSTALLED = plugins.build()
FEW, MANY = 600, 2000
# Bytes for each further run. The smallest standing takes several times as many.
LITTLE = 100
# Large confusion matrices would hide what the runs take.
SMALL = [share for share in many_records.SHARES if share[1] in ("fashion-mnist", "cifar10")]


def tables_of(runs):
    """Return tables of a runs folder, of which few runs have all rows."""
    best = sections.Selection(most=1)
    with overview.opened([runs], lambda seen: track_demands.known(INSTALLED, seen)) as found:
        assert any(duplicates.conflicts(found.board))
        datasets = demands.datasets(found.demands)
        shown = sections.build(found.board, found.brief, datasets=datasets, selection=best)
        return tables.render(shown)


def peak(make, *arguments):
    """Return what a function returns, and the most bytes that Python took for it."""
    gc.collect()
    tracemalloc.start()
    try:
        return make(*arguments), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "is_indexed",
    [pytest.param(True, id="indexed"), pytest.param(False, id="read", marks=pytest.mark.slow)],
)
def test_more_runs_take_no_more_memory(monkeypatch, tmp_path, is_indexed):
    monkeypatch.setattr(many_records, "SHARES", SMALL)
    # Files that have just been written are in the index too.
    monkeypatch.setattr(index, "SETTLED", -1)
    # As many runs at once, and as large a buffer for each record, would hide the others.
    monkeypatch.setattr(index, "MOST", 20)
    monkeypatch.setattr(store, "MAX_BYTES", 2**16)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = []
    for count in (FEW, MANY):
        runs = tmp_path / str(count) / "runs"
        many_records.write(runs, count)
        if is_indexed or not found:
            tables_of(runs)
        if not is_indexed:
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        found.append(peak(tables_of, runs))
    (few, of_few), (many, of_many) = found
    assert few.count("\n") == many.count("\n")
    assert of_many - of_few < LITTLE * (MANY - FEW)
