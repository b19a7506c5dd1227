"""Runs that improve their set, through the command."""

import json

import pytest
from safetensors.numpy import load_file

RUN = ("run", "--method", "generative-turbo", "--device", "cpu", "--repeats", "0", "--json")
SELECT = ("--option", "select=regression", "--option", "pool=12", "--option", "sweeps=1")
REFINE = ("--option", "refine=pixels", "--option", "visits=3")


def run(ddbench, *arguments):
    done = ddbench(*RUN, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_selected_images_are_samples(ddbench, tmp_path):
    record = run(ddbench, "--ipc", "2", *SELECT)
    assert (record["status"], record["ipc"], record["generated_per_class"]) == ("ok", 2, 2)
    assert record["uses_real_data"]
    assert (record["metadata"]["pool"], record["metadata"]["sweeps"]) == ("12", "1")
    assert record["sampled"] == 120
    assert record["images_per_second"] > 20


def test_refined_images_are_no_samples_and_the_work_is_recorded(ddbench, tmp_path):
    done = ddbench(*RUN, "--ipc", "1", *SELECT, *REFINE)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["ipc"], record["generated_per_class"]) == ("ok", 1, 0)
    phases = ("sampling a pool", "selecting", "refining", "choosing")
    assert [line for line in done.stderr.splitlines() if line.startswith("phase: ")] == [
        f"phase: {phase}" for phase in phases
    ]
    metadata = record["metadata"]
    assert (metadata["visits"], metadata["refinement_steps"]) == ("3", 15)
    assert len(metadata["held_out_accuracies"]) == 2
    assert metadata["state"] in ("1 of 2", "2 of 2")


@pytest.mark.slow
def test_a_seed_gives_the_same_improved_images_again(ddbench):
    first, second = (run(ddbench, "--ipc", "1", *SELECT, *REFINE) for _ in range(2))
    assert first["images_sha256"] == second["images_sha256"]


@pytest.mark.slow
def test_kmeans_selects_images_of_the_pool(ddbench, tmp_path):
    record = run(ddbench, "--ipc", "2", "--option", "select=kmeans", "--option", "pool=12")
    (file,) = (tmp_path / "runs").glob("*/*/*/*/images.safetensors")
    images = load_file(file)["images"]
    assert len({image.tobytes() for image in images}) == 20
    assert record["generated_per_class"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ipc", "max"), "need a fixed number of images per class"),
        (("--ipc", "2", "--processes", "2"), "need one process"),
    ],
)
def test_what_cannot_be_improved_is_refused_in_one_line(ddbench, arguments, message):
    done = ddbench(*RUN, *arguments, *SELECT)
    assert done.returncode == 1
    assert message in json.loads(done.stdout)["message"]


@pytest.mark.slow
def test_a_timed_run_is_repeated_by_its_counts(ddbench, tmp_path):
    """The clock decides the counts of the first run, and its record those of the second."""
    options = ("--option", "select=regression", "--option", "refine=pixels", "--option", "pool=12")
    record = run(ddbench, "--ipc", "1", "--time-limit", "45", *options)
    assert record["metadata"]["visits"] not in ("auto", "3")
    done = ddbench("rerun", record["run_id"], "--json")
    assert json.loads(done.stdout)["images"] is True, done.stdout
