"""Bounded reads, and files and folders that appear whole or not at all."""

import os
import threading

import pytest

from leaderboard import files
from leaderboard.files import new_folder, open_regular, read_bounded, replacing, replacing_folder


def test_read_bounded_refuses_large_and_special_files(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than"):
        read_bounded(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_bounded(other, 5)
    with pytest.raises(OSError, match="No such file"):
        read_bounded(tmp_path / "none", 5)


def test_links_are_followed_only_if_wanted(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_bounded(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="symbolic link"):
        open_regular(tmp_path / "link", follows_links=False)


def test_replacing_replaces_the_file_if_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "file.png"
    for text in ("one", "two"):
        with replacing(path) as temporary:
            temporary.write_text(text)
            assert temporary.name == path.name
            assert temporary.parent.parent == path.parent
            assert temporary.parent.name.startswith(".")
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_replacing_keeps_the_old_file_if_the_block_raises(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as temporary:
        temporary.write_text("half" + temporary.write_text("half"))
    assert path.read_text() == "old"
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert list(tmp_path.iterdir()) == [path]


def test_new_folder_appears_if_the_block_succeeds(tmp_path):
    path = tmp_path / "above" / "folder"
    with new_folder(path) as scratch:
        (scratch / "file").write_text("text")
        assert not path.exists()
    assert [file.name for file in path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as scratch:
        (scratch / "file").write_text("text")
    assert (tmp_path / "empty" / "file").read_text() == "text"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["above", "empty"]


def test_new_folder_leaves_nothing_after_an_error_and_overwrites_nothing(tmp_path):
    with pytest.raises(FileExistsError), new_folder(tmp_path / "folder") as scratch:
        scratch.mkdir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("text")
    for path in (tmp_path / "full", tmp_path / "full" / "file"):
        with pytest.raises(FileExistsError), new_folder(path):
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["full"]


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_end(
    tmp_path, monkeypatch
):
    """A power cut can't be tried, so the calls that guard against it are recorded."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def recorded(*arguments, name=name, real=real):
            place = arguments[0] if name == "replace" else os.readlink(f"/dev/fd/{arguments[0]}")
            calls.append((name, os.path.basename(place)))
            return real(*arguments)

        monkeypatch.setattr(os, name, recorded)
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("text")
    here = tmp_path.name
    assert calls == [("fsync", "file"), ("replace", "file"), ("fsync", here)]
    calls.clear()
    with new_folder(tmp_path / "folder") as scratch:
        (scratch / "below").mkdir()
        (scratch / "below" / "file").write_text("text")
    synced = [("fsync", name) for name in ("file", "below", "new")]
    assert calls == [*synced, ("replace", "new"), ("fsync", here)]


def test_an_older_folder_is_there_until_the_new_one_is(tmp_path):
    path = tmp_path / "pages"
    for text in ("one", "two"):
        with replacing_folder(path) as new:
            (new / "file").write_text(text)
            assert path.exists() == (text == "two")
        assert (path / "file").read_text() == text
    with pytest.raises(RuntimeError), replacing_folder(path) as new:
        raise RuntimeError
    assert (path / "file").read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_replaced_in_two_steps_where_the_system_has_no_exchange(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    test_an_older_folder_is_there_until_the_new_one_is(tmp_path)


def test_scratch_folders_of_killed_processes_go_after_an_hour(tmp_path):
    for name in (".ddbench-00000000-old", ".ddbench-11111111-new", ".00000000-mine"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / ".ddbench-00000000-old", (0, 0))
    os.utime(tmp_path / ".00000000-mine", (0, 0))
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("text")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".00000000-mine", ".ddbench-11111111-new", "file"]


def test_folders_may_be_renamed_while_they_are_looked_at(tmp_path):
    one, other, done = tmp_path / "one", tmp_path / "other", threading.Event()
    (one / "deep").mkdir(parents=True)
    (one / "deep" / "0.safetensors").touch()

    def rename():
        while not done.is_set():
            one.rename(other)
            other.rename(one)

    thread = threading.Thread(target=rename)
    thread.start()
    try:
        seen = {(files.holds(one, ".safetensors"), len(files.listed(one))) for _ in range(3000)}
    finally:
        done.set()
        thread.join()
    assert {held for held, _ in seen} == {False, True}
    assert {count for _, count in seen} == {0, 1}
    assert not files.holds(one, ".json")


def test_names_of_any_length_can_be_written(tmp_path):
    for name in ("n" * 255, "é" * 127, os.fsdecode(b"\xff" * 255)):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("text")
        assert (tmp_path / name).read_text() == "text"
