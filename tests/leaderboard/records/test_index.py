"""The index saves time and never changes what is shown."""

import contextlib
import dataclasses
import os
import shutil
import sqlite3
import subprocess
import time
from datetime import UTC, datetime

import many_records
import pytest
from made_records import FULL, record, save
from msgspec import structs
from project import COMMAND, ROOT

from benchmark_adapters import plugins, track_demands
from leaderboard.analysis import overview, sections, standing, verdicts
from leaderboard.records import index, store

COMMANDS = [
    [],
    ["--all", "--format", "plain"],
    ["--rows", "3"],
    ["--format", "csv"],
    ["--format", "latex"],
    ["--format", "json"],
]
INSTALLED = plugins.build()


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    """Index small folders too, and files that have just been written."""
    monkeypatch.setattr(overview, "LEAST", 1)
    monkeypatch.setattr(index, "SETTLED", -1)
    monkeypatch.setattr(index, "PATIENCE", 0.1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def runs(tmp_path):
    """Return an indexed folder of six runs."""
    for number in range(6):
        save(tmp_path / "runs", record(method=f"m{number}", images_sha256=str(number)))
    found(tmp_path / "runs")
    return tmp_path / "runs"


def found(runs):
    """Return the accuracy of each method, as read with the index."""
    with overview.opened([runs], known) as shown:
        assert not shown.problems
        return {one.method: one.accuracy_mean for one in shown.board}


def known(runs):
    return track_demands.known(INSTALLED, runs)


def truth(runs):
    return {one.method: one.accuracy_mean for _, one in store.entries([runs])[0]}


def files_read(monkeypatch, runs):
    """Return how many times a record is read from its file."""
    read, real = [], store.read
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", lambda folder: read.append(folder) or real(folder))
        found(runs)
    return len(read)


def database(tmp_path):
    (file,) = (tmp_path / "cache" / "ddbench" / "records").iterdir()
    return file


def run_of(runs, method):
    (folder,) = (runs / "quickstart" / "fashion-mnist" / method).iterdir()
    return folder


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", ["docs", "many"])
def test_outputs_are_those_without_an_index(ddbench, monkeypatch, tmp_path, arguments, kind):
    runs = ROOT / "docs" / "runs"
    if kind == "many":
        runs = tmp_path / "runs"
        many_records.write(runs, 120)
    monkeypatch.setattr(overview, "LEAST", 10_000)
    without = ddbench("leaderboard", *arguments, "--runs", runs)
    monkeypatch.setattr(overview, "LEAST", 1)
    first, again = (ddbench("leaderboard", *arguments, "--runs", runs) for _ in range(2))
    for done in (first, again):
        assert (done.stdout, done.returncode) == (without.stdout, without.returncode)
        assert done.stderr == without.stderr


def test_unchanged_records_are_not_read_again(monkeypatch, runs):
    assert files_read(monkeypatch, runs) == 0
    assert found(runs) == truth(runs)


def test_changed_added_and_removed_records_are_seen(monkeypatch, runs, tmp_path):
    store.write(run_of(runs, "m0"), record(method="m0", accuracies=[0.1, 0.2, 0.3]))
    save(runs, record(method="new"))
    shutil.rmtree(run_of(runs, "m1"))
    assert files_read(monkeypatch, runs) == 2
    assert found(runs) == truth(runs)
    assert found(runs)["m0"] == pytest.approx(0.2)
    with contextlib.closing(sqlite3.connect(database(tmp_path))) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (6,)


@pytest.mark.parametrize("in_place", [True, False], ids=["overwritten", "replaced"])
def test_a_record_with_the_size_and_time_of_another_is_seen(runs, in_place):
    file = run_of(runs, "m2") / store.RECORD
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    text = record(method="m2", accuracies=[0.1, 0.12, 0.14]).to_json()
    text = text.rstrip().ljust(file.stat().st_size)
    assert len(text) == file.stat().st_size
    if in_place:
        file.write_text(text)
    else:
        (file.parent / "other").write_text(text)
        (file.parent / "other").replace(file)
    os.utime(file, ns=times)
    assert found(runs)["m2"] == pytest.approx(0.12)


def test_records_that_changed_a_moment_ago_are_read_again(monkeypatch, runs):
    monkeypatch.setattr(index, "SETTLED", 3600)
    assert files_read(monkeypatch, runs) == 6


@pytest.mark.parametrize("damage", ["noise", "hole", "empty", "foreign", "no table"])
def test_a_damaged_index_is_made_again(monkeypatch, runs, tmp_path, damage):
    file = database(tmp_path)
    content = file.read_bytes()
    if damage == "noise":
        file.write_bytes(os.urandom(5000))
    elif damage == "hole":
        file.write_bytes(content[:4096] + bytes(len(content) - 4096))
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        file.unlink()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE run (folder)")
            if damage == "no table":
                connection.execute("DROP TABLE run")
                connection.execute(f"PRAGMA user_version = {index._version()}")
            connection.commit()
    assert found(runs) == truth(runs)
    found(runs)
    assert files_read(monkeypatch, runs) == 0


def better(extract):
    return standing.pack(structs.replace(standing.unpack(extract), accuracy_mean=0.99))


def test_a_damaged_row_is_read_again(runs, tmp_path):
    with contextlib.closing(sqlite3.connect(database(tmp_path))) as connection, connection:
        for folder, extract in connection.execute("SELECT folder, extract FROM run").fetchall():
            row = better(extract), folder
            connection.execute("UPDATE run SET extract = ? WHERE folder = ?", row)
    assert found(runs) == truth(runs)


def test_the_index_of_another_version_is_not_used(monkeypatch, runs):
    with monkeypatch.context() as patch:
        patch.setattr(index, "_version", lambda: 7)
        assert files_read(monkeypatch, runs) == 6
    assert files_read(monkeypatch, runs) == 6
    assert files_read(monkeypatch, runs) == 0


def test_runs_are_shown_without_a_folder_for_the_index(monkeypatch, runs, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert found(runs) == truth(runs)


def test_an_index_that_others_can_write_is_not_used(monkeypatch, runs, tmp_path):
    database(tmp_path).parent.chmod(0o777)
    assert files_read(monkeypatch, runs) == 6


@pytest.mark.parametrize("change", [False, True], ids=["read", "written"])
def test_a_locked_index_is_not_waited_for(runs, tmp_path, change):
    with contextlib.closing(sqlite3.connect(database(tmp_path), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE" if change else "BEGIN EXCLUSIVE")
        save(runs, record(method="new"))
        assert found(runs) == truth(runs)
    assert database(tmp_path).exists()


def test_a_full_disk_costs_the_index_only(monkeypatch, runs, tmp_path):
    connected = index._connected

    def full(path):
        connection = connected(path)
        connection.execute("PRAGMA max_page_count = 1")
        return connection

    for number in range(30):
        save(runs, record(method=f"more{number}", message="m" * 1000, images_sha256=f"x{number}"))
    monkeypatch.setattr(index, "_connected", full)
    assert found(runs) == truth(runs)


def test_an_index_in_a_runs_folder_of_a_stranger_changes_no_rank(ddbench, runs, tmp_path):
    before = ddbench("leaderboard", "--runs", runs).stdout
    forged = tmp_path / "forged.sqlite"
    shutil.copy(database(tmp_path), forged)
    with contextlib.closing(sqlite3.connect(forged)) as connection, connection:
        rows = connection.execute("SELECT folder, file, extract FROM run").fetchall()
        for folder, file, extract in rows:
            row = folder, file, better(extract)
            connection.execute("REPLACE INTO run VALUES (?, ?, ?, ?)", (*row, index._digest(*row)))
    shutil.rmtree(tmp_path / "cache")
    for place in (runs, runs / "ddbench" / "records", runs / "quickstart"):
        place.mkdir(parents=True, exist_ok=True)
        for name in (database_name(runs), "index.sqlite", ".index.sqlite"):
            shutil.copy(forged, place / name)
    assert ddbench("leaderboard", "--runs", runs).stdout == before


def database_name(runs):
    return index._path(runs).name


def test_verdicts_follow_the_rules_and_not_the_index(monkeypatch, runs):
    """A track from a file is ranked as long as all of its records hold the same rules."""
    own = {"track": "own", "dataset": "own", "rules": FULL.rules, "images_sha256": "own"}
    save(runs, record(method="first", **own))

    def verdict_by():
        with overview.opened([runs], known) as shown:
            (run,) = (one for one in shown.board if one.method == "first")
            return run.demands_sha256

    agreed = verdict_by()
    assert agreed
    assert files_read(monkeypatch, runs) == 0
    other = dataclasses.replace(FULL.rules, sha256="b2")
    second = save(runs, record(method="second", **own | {"rules": other}))
    assert verdict_by() == ""
    store.remove(second)
    assert verdict_by() == agreed


def test_a_date_in_the_future_is_judged_again_once_it_has_passed(monkeypatch, runs):
    tomorrow = record(method="m", created="2027-01-01T00:00:00Z", images_sha256="m")
    save(runs, tomorrow)
    assert files_read(monkeypatch, runs) == 1
    assert files_read(monkeypatch, runs) == 1
    later = datetime(2027, 2, 1, tzinfo=UTC)
    monkeypatch.setattr(verdicts, "present", lambda: later)
    assert files_read(monkeypatch, runs) == 1
    assert files_read(monkeypatch, runs) == 0


def test_a_run_that_disappears_meanwhile_gets_no_row(runs):
    with overview.opened([runs], known) as shown:
        shutil.rmtree(run_of(runs, "m3"))
        run_of(runs, "m4").joinpath(store.RECORD).write_text("{")
        (section,) = sections.build(shown.board, shown.brief, published=())
    assert {row.record.method for row in section.rows} == {"m0", "m1", "m2", "m5"}


def test_processes_share_an_index(tmp_path):
    runs = tmp_path / "runs"
    many_records.write(runs, 600)
    time.sleep(2.1)  # Younger records are not indexed.
    command = [COMMAND, "leaderboard", "--runs", runs, "--format", "csv"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    first, *others = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(first.splitlines()) > 590
    assert others == [first, first]
    with contextlib.closing(sqlite3.connect(database(tmp_path))) as connection:
        (count,) = connection.execute("SELECT count(*) FROM run").fetchone()
    assert count >= 500
