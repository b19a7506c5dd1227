"""The images of runs are verified wherever they are used."""

import shutil

import pytest
import small_runs
from small_runs import only

import ddbench as package
from benchmark_adapters.runs import read
from benchmark_adapters.types import UserError
from leaderboard.records import store


@pytest.fixture
def run(real_runs, tmp_path):
    """Return the folder of a run in ``runs``, which a test may damage."""
    source = only(real_runs, "few")
    return shutil.copytree(source, tmp_path / "runs" / source.relative_to(real_runs))


def damaged(folder):
    """Change one pixel of a run."""
    file = folder / "images.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return file


def shortened(folder):
    file = folder / "images.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return file


def removed(folder):
    file = folder / "images.safetensors"
    file.unlink()
    return file


@pytest.mark.parametrize("harm", [damaged, shortened, removed])
def test_commands_name_damaged_images_and_do_not_use_them(ddbench, example_folder, run, harm):
    harm(run)
    name = "images.safetensors"
    shown = ddbench("show", run.name)
    assert (shown.returncode, name in shown.stderr, run.name in shown.stdout) == (1, True, True)
    for words in (
        ("export", run.name, "--format", "eccv2024", "--output", "out"),
        ("score", run.name),
    ):
        done = ddbench(*words, path=[example_folder])
        assert (done.returncode, name in done.stderr) == (2, True), done.stderr
        assert f"ddbench rerun {run.name}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    with pytest.raises(UserError, match=name):
        package.load(run)
    assert list(store.runs_in([run.parents[3]])) == [run]
    assert not (run.parents[4] / "out").exists()


def test_a_rerun_says_that_the_images_to_compare_with_are_damaged(ddbench, example_folder, run):
    damaged(run)
    done = ddbench("rerun", run.name, path=[example_folder])
    assert "warning: " in done.stderr
    assert "images.safetensors is damaged" in done.stderr
    # The hash in the record still tells that the new images are the same.
    assert "images: the same" in done.stdout


def test_a_damaged_shard_is_named_and_not_merged(
    ddbench, example_plugins, example_folder, tmp_path
):
    shards = [
        small_runs.run(example_plugins, tmp_path, "divided", shard=f"{number}/2", ipc=4)[0]
        for number in range(2)
    ]
    file = damaged(shards[1])
    done = ddbench("merge", *shards, path=[example_folder])
    assert done.returncode == 2
    assert f"{file} is damaged" in done.stderr
    assert len(list(store.runs_in([tmp_path / "runs"]))) == 2


def test_images_of_all_published_runs_are_whole():
    from project import ROOT

    for folder, record in store.entries([ROOT / "docs" / "runs"])[0]:
        assert read.damage(folder, record) == ""
