"""Folders of pages are replaced as a whole, and nothing else is overwritten."""

import pytest
from made_records import compared, record
from project import ROOT

from leaderboard.records import store
from leaderboard.render import pages

RUNS = ROOT / "docs" / "runs"


def test_pages_replace_older_pages_and_nothing_else(tmp_path):
    entries = store.entries([RUNS])[0]
    index = pages.write(entries[:2], tmp_path / "board")
    assert len(list((tmp_path / "board" / "runs").glob("*.html"))) == 2
    pages.write(entries, tmp_path / "board")
    assert len(list((tmp_path / "board" / "runs").glob("*.html"))) == len(entries)
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
    before = index.read_text()
    (tmp_path / "board" / "CNAME").write_text("example.org")
    two = [record(run_id="a"), record(run_id="b")]
    for write in (
        lambda: pages.write([], tmp_path / "board"),
        lambda: pages.write_comparison(compared(*two), [tmp_path] * 2, tmp_path / "board"),
    ):
        with pytest.raises(ValueError, match="is not overwritten"):
            write()
    (tmp_path / "board" / "CNAME").unlink()
    with pytest.raises(ValueError, match="is not overwritten"):
        pages.write_comparison(compared(*two), [tmp_path] * 2, tmp_path / "board")
    with pytest.raises(ValueError, match="is not overwritten"):
        pages.write(entries, index)
    assert index.read_text() == before


def test_an_error_leaves_the_old_pages(tmp_path, monkeypatch):
    index = pages.write([], tmp_path / "board")
    before = index.read_text()
    monkeypatch.setattr(pages, "write_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pages.write(store.entries([RUNS])[0], tmp_path / "board")
    assert index.read_text() == before
    assert "No runs yet" in before
    assert [path.name for path in tmp_path.iterdir()] == ["board"]
