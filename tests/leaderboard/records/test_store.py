"""Runs folders: runs appear whole, and damaged ones don't affect the others."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from made_records import record, save
from project import TESTS

from leaderboard.records import store


def test_new_run_appears_whole_or_not_at_all(tmp_path):
    with store.new_run(tmp_path, "t", "d", "m") as folder:
        (folder / "record.json").write_text(record().to_json())
        assert list(store.runs_in([tmp_path])) == []
    assert list(store.runs_in([tmp_path])) == [store.final(folder)]
    with pytest.raises(RuntimeError), store.new_run(tmp_path, "t", "d", "m") as folder:
        raise RuntimeError
    assert len(list((tmp_path / "t" / "d" / "m").iterdir())) == 1


def failed(runs, write):
    """Let a run fail after ``write``, and return its hidden folder."""
    with contextlib.suppress(OSError), store.new_run(runs, "t", "d", "m") as folder:
        write(folder)
        raise OSError
    return folder


def test_an_error_keeps_a_run_that_has_a_record_and_images_that_have_none(tmp_path):
    first = failed(tmp_path, lambda at: store.write(at, record(run_id=store.run_id(at))))
    second = failed(tmp_path, lambda at: (at / "images.safetensors").write_bytes(b"images"))
    assert not failed(tmp_path, lambda at: None).exists()
    assert list(store.runs_in([tmp_path])) == [store.final(first)]
    (left,) = store.leftovers([tmp_path])
    assert (left.path, left.kind, left.size) == (second, "run", 6)
    # It stays until someone removes it.
    os.utime(second, (0, 0))
    with store.new_run(tmp_path, "t", "d", "m"):
        assert (second / "images.safetensors").read_bytes() == b"images"
    store.clear(second)
    assert store.leftovers([tmp_path]) == []


def test_new_run_removes_folders_of_killed_processes_only(tmp_path):
    code = """
import sys, time
from pathlib import Path
from leaderboard.records import store
with store.new_run(Path(sys.argv[1]), "t", "d", "m") as folder:
    print(folder, flush=True)
    time.sleep(100)
"""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        killed, living = (Path(process.stdout.readline().strip()) for process in both)
        both[0].kill()
        both[0].wait()
        with store.new_run(tmp_path, "t", "d", "m"):
            # It may belong to a process that has not locked it yet.
            assert killed.is_dir()
        for folder in (killed, living):
            os.utime(folder, (0, 0))
        with store.new_run(tmp_path, "t", "d", "m") as folder:
            assert living.is_dir()
            assert folder.is_dir()
            assert not killed.exists()
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_entries_never_contain_half_a_record(tmp_path):
    """Four processes write runs at the same time."""
    code = """
import sys, time
from pathlib import Path
from leaderboard.records import store
from made_records import record
for number in range(25):
    with store.new_run(Path(sys.argv[1]), "t", "d", "m") as folder:
        text = record(run_id=store.run_id(folder), confusion=[[9] * 100] * 100).to_json()
        with (folder / "record.json").open("w") as file:
            for start in range(0, len(text), 5000):
                file.write(text[start : start + 5000])
                file.flush()
"""
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "support")}
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
        for _ in range(4)
    ]
    seen = []
    while any(writer.poll() is None for writer in writers):
        entries, problems = store.entries([tmp_path])
        assert problems == []
        seen.append(len(entries))
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(store.entries([tmp_path])[0]) == 100
    # The records were read while the processes wrote.
    assert len(set(seen)) > 1
    assert seen == sorted(seen)


def test_entries_skip_an_enormous_record(tmp_path):
    folder = save(tmp_path, record())
    with (folder / "record.json").open("r+b") as file:
        file.truncate(2**40)
    assert "larger than 16 MiB" in store.entries([tmp_path])[1][0]


def test_entries_name_damaged_records_and_read_the_others(tmp_path):
    good, bad = save(tmp_path, record()), save(tmp_path, record(method="two"))
    (bad / "record.json").write_text("[" * 100_000)
    entries, problems = store.entries([tmp_path])
    assert [folder for folder, _ in entries] == [good]
    assert len(problems) == 1
    assert str(bad / "record.json") in problems[0]


def test_entries_do_not_name_runs_that_are_removed_meanwhile(tmp_path):
    kept, is_over = save(tmp_path, record()), threading.Event()

    def come_and_go():
        while not is_over.is_set():
            for folder in [save(tmp_path, record(method=f"method {n}")) for n in range(5)]:
                store.remove(folder)

    with ThreadPoolExecutor() as pool:
        others = pool.submit(come_and_go)
        try:
            for _ in range(300):
                entries, problems = store.entries([tmp_path])
                assert problems == []
                assert kept in [folder for folder, _ in entries]
        finally:
            is_over.set()
        others.result()


def test_entries_do_not_wait_for_a_pipe(tmp_path):
    folder = save(tmp_path, record())
    (folder / "record.json").unlink()
    os.mkfifo(folder / "record.json")
    assert "not a regular file" in store.entries([tmp_path])[1][0]


def test_find_does_not_wait_for_a_pipe(tmp_path):
    first = save(tmp_path / "a", record())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    second = tmp_path / "b" / first.relative_to(tmp_path / "a") / "record.json"
    second.unlink()
    os.mkfifo(second)
    with pytest.raises(ValueError, match="2 runs match"):
        store.find(first.name, [tmp_path / "a", tmp_path / "b"])


def test_find_counts_copies_of_a_run_as_one(tmp_path):
    first = save(tmp_path / "a", record())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert store.find(first.name, [tmp_path / "a", tmp_path / "b"]) == first
    (tmp_path / "b" / first.relative_to(tmp_path / "a") / "record.json").write_text("changed")
    with pytest.raises(ValueError, match="2 runs"):
        store.find(first.name, [tmp_path / "a", tmp_path / "b"])


def test_find_accepts_a_folder_an_id_or_its_beginning(tmp_path):
    first = save(tmp_path, record())
    save(tmp_path, record())
    assert store.find(str(first), []) == first
    assert store.find(first.name, [tmp_path]) == first
    with pytest.raises(ValueError, match="2 runs match '20'"):
        store.find("20", [tmp_path])
    for unknown in ("nothing", ""):
        with pytest.raises(ValueError, match="no run"):
            store.find(unknown, [tmp_path])
