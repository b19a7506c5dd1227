"""Bounded reads, and files and folders that appear whole or not at all."""

import os

import pytest

from leaderboard.files import new_folder, open_regular, read_bounded, replacing


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
            assert (temporary.parent, temporary.suffix) == (path.parent, ".png")
            assert temporary.name.startswith(".")
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
