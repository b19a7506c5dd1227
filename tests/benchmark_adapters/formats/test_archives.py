"""Zip archives of distilled sets."""

import stat
import zipfile

import pytest

from benchmark_adapters.formats import archives, safe_load
from benchmark_adapters.types import UserError


def archive(tmp_path, *members):
    path = tmp_path / "team.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def test_unpack_leaves_out_what_systems_leave_behind(tmp_path):
    names = ("a/set.pt", "__MACOSX/a/._set.pt", "a/._set.pt", "a/.DS_Store", "Thumbs.db")
    archives.unpack(archive(tmp_path, *((name, b"x") for name in names)), tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [tmp_path / "out" / "a" / "set.pt"]


def link():
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../out.pt", r"\.\./out\.pt lies outside the archive"),
        ("/etc/out.pt", "/etc/out.pt lies outside the archive"),
        (link(), "link is a symbolic link, which is not followed"),
    ],
    ids=["parent", "absolute", "link"],
)
def test_members_outside_are_refused(tmp_path, member, message):
    with pytest.raises(UserError, match=message):
        archives.unpack(archive(tmp_path, ("set.pt", b"x"), (member, b"/etc")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bombs_and_damaged_archives_are_refused(tmp_path, monkeypatch):
    path = archive(tmp_path, ("set.pt", bytes(2**20)))
    monkeypatch.setattr(safe_load, "MAX_BYTES", 2**18)
    with pytest.raises(UserError, match=r"team\.zip: .*larger than .* when unpacked"):
        archives.unpack(path, tmp_path / "out")
    monkeypatch.setattr(safe_load, "MAX_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_ENTRIES", 0)
    with pytest.raises(UserError, match="more than 0 files and folders"):
        archives.unpack(path, tmp_path / "out")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"not readable as a zip archive \(BadZipFile"):
        archives.unpack(path, tmp_path / "out")


def test_a_member_that_is_larger_than_it_says_is_refused(tmp_path):
    path = archive(tmp_path, ("set.pt", bytes(2**20)))
    raw, size = path.read_bytes(), (2**20).to_bytes(4, "little")
    assert raw.count(size) == 2
    path.write_bytes(raw.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(UserError, match="not readable as a zip archive"):
        archives.unpack(path, tmp_path / "out")
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.pt")) <= 100
