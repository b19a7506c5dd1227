"""Manifests and previews follow from the record and the images, so they are made again."""

import os
import shutil

import pytest
from small_runs import only

FILES = ("manifest.json", "grid.png")


@pytest.fixture
def run(real_runs, tmp_path):
    source = only(real_runs, "few")
    return shutil.copytree(source, tmp_path / "runs" / source.relative_to(real_runs))


def lose(file):
    file.unlink()


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def link(file):
    file.unlink()
    file.symlink_to("/etc/passwd")


def block(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("harm", [lose, cut, link, block])
def test_lost_and_damaged_files_are_made_again_as_they_were(ddbench, example_folder, run, harm):
    before = {name: (run / name).read_bytes() for name in FILES}
    for words in (
        ("show", run.name),
        ("compare", run.name, run.name),
        ("export", run.name, "--format", "mtt", "--output", "out"),
        ("leaderboard", "--format", "html", "--output", "board"),
    ):
        for name in FILES:
            harm(run / name)
        done = ddbench(*words, path=[example_folder])
        assert done.returncode == 0, done.stderr
        assert {name: (run / name).read_bytes() for name in FILES} == before
    assert not [file.name for file in run.iterdir() if file.name.startswith(".")]


def test_a_flipped_bit_in_a_preview_is_noticed(ddbench, run):
    content = bytearray((run / "grid.png").read_bytes())
    before = bytes(content)
    content[len(content) // 2] ^= 1
    (run / "grid.png").write_bytes(content)
    assert ddbench("show", run.name).returncode == 0
    assert (run / "grid.png").read_bytes() == before


def test_nothing_is_made_from_damaged_images(ddbench, example_folder, run):
    lose(run / "grid.png")
    cut(run / "images.safetensors")
    ddbench("show", run.name, path=[example_folder])
    assert not (run / "grid.png").exists()
