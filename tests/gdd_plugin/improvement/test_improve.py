"""Runs that improve their set, through the command."""

import json
import re

import pytest
from safetensors.numpy import load_file

from benchmark_adapters import plugins
from gdd_plugin.improvement.improve import MIN_COMPILED_LIMIT

RUN = ("run", "--method", "generative-turbo", "--device", "cpu", "--repeats", "0", "--json")
SELECT = ("--option", "select=regression", "--option", "pool=12", "--option", "sweeps=1")
REFINE = ("--option", "refine=pixels", "--option", "visits=2")
SELECT_ALONE = (*SELECT, "--option", "refine=none")


def run(ddbench, *arguments):
    done = ddbench(*RUN, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_selected_images_are_samples(ddbench, tmp_path):
    record = run(ddbench, "--ipc", "2", *SELECT_ALONE)
    assert (record["status"], record["ipc"], record["generated_per_class"]) == ("ok", 2, 2)
    assert record["metadata"]["images"] == "selected by regression"
    assert record["uses_real_data"]
    assert (record["metadata"]["pool"], record["metadata"]["sweeps"]) == ("12", "1")
    assert record["sampled"] == 120
    assert record["images_per_second"] > 20


def test_refined_images_are_no_samples_and_the_work_is_recorded(ddbench, methods_here):
    done = ddbench(*RUN, "--ipc", "1", *SELECT, *REFINE)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["ipc"], record["generated_per_class"]) == ("ok", 1, 0)
    phases = ("sampling a pool", "selecting", "refining")
    begun = re.findall(r"^(.+): \d+ steps$", done.stderr, re.MULTILINE)
    assert begun == list(phases)
    metadata = record["metadata"]
    assert (metadata["visits"], metadata["refinement_steps"]) == ("2/2", 10)
    assert metadata["images"] == "refined in pixels"


@pytest.mark.slow
def test_a_seed_gives_the_same_improved_images_again(ddbench):
    first, second = (run(ddbench, "--ipc", "1", *SELECT, *REFINE) for _ in range(2))
    assert first["images_sha256"] == second["images_sha256"]


@pytest.mark.slow
def test_latents_are_refined_and_each_image_has_its_wording(ddbench):
    options = ("--option", "refine=latents", "--option", "visits=2", "--option", "prompts=diverse")
    record = run(ddbench, "--ipc", "1", *SELECT, *options)
    metadata = record["metadata"]
    assert (record["generated_per_class"], metadata["images"]) == (0, "refined in latents")
    assert (len(metadata["wordings"]), len(metadata["wording_of_image"])) == (8, 10)
    assert set(metadata["wording_of_image"]) <= set(range(8))


@pytest.mark.slow
def test_kmeans_selects_images_of_the_pool(ddbench, tmp_path):
    options = ("--option", "select=kmeans", "--option", "refine=none", "--option", "pool=12")
    record = run(ddbench, "--ipc", "2", *options)
    (file,) = (tmp_path / "runs").glob("*/*/*/*/images.safetensors")
    images = load_file(file)["images"]
    assert len({image.tobytes() for image in images}) == 20
    assert record["generated_per_class"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ipc", "max"), "--option select=regression needs a fixed number of images per class"),
        (("--ipc", "2", "--option", "copies=1"), "select=regression makes no augmented copies"),
    ],
)
def test_what_cannot_be_improved_is_refused_in_one_line(ddbench, methods_here, arguments, message):
    done = ddbench(*RUN, *arguments, *SELECT)
    assert done.returncode == 1
    assert message in json.loads(done.stdout)["message"]


def test_a_set_that_is_improved_can_not_be_divided(ddbench, tmp_path):
    """That is said before anything is made; a set that is sampled alone can be divided."""
    for parts in (("--processes", "2"), ("--shard", "0/2")):
        done = ddbench(*RUN, "--ipc", "2", *parts)
        assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
        assert "select and refine need a single process" in done.stderr
    method = plugins.build().methods["generative-turbo"]
    options = {option.name: option.default for option in method.options}
    assert method.obstacle(options, 2, 60.0)
    for changes, ipc, limit in (
        ({"preset": "sampled"}, 2, 60.0),
        ({"copies": 1}, 2, 60.0),
        ({}, None, 60.0),
        ({}, 2, 30.0),
    ):
        assert method.obstacle(options | changes, ipc, limit) == ""


def test_by_default_what_cannot_be_improved_is_sampled_and_the_record_says_why(
    ddbench, methods_here
):
    record = run(ddbench, "--ipc", "2", "--option", "copies=1")
    assert (record["ipc"], record["generated_per_class"]) == (2, 1)
    assert (record["metadata"]["select"], record["metadata"]["refine"]) == ("none", "none")
    assert "copies" in record["metadata"]["sampled_alone_because"]
    assert not record["uses_real_data"]


def test_samples_of_a_pool_that_was_cut_short_are_kept(ddbench, clock):
    """Three batches of 25 are on disk when the limit expires, and 20 images per class were due."""
    clock.jump_after(batches=3)
    done = ddbench(*RUN, "--option", "batch=25", "--time-limit", "3600")
    record = json.loads(done.stdout)
    assert (done.returncode, record["status"], record["ipc"]) == (1, "timeout", 7)
    assert record["generated_per_class"] == 7


@pytest.mark.slow
def test_a_timed_run_is_repeated_by_its_counts(ddbench, tmp_path):
    """The clock decides the counts of the first run, and its record those of the second."""
    options = ("--track", "fashion-mnist", "--ipc", "1", "--option", "pool=12")
    # The shortest limit at which networks are compiled.
    record = run(ddbench, *options, "--time-limit", str(int(MIN_COMPILED_LIMIT)))
    assert re.fullmatch(r"\d+(/\d+)?", record["metadata"]["visits"])
    # A busy machine has no time left to choose between states.
    if "/" not in record["metadata"]["visits"]:
        assert len(record["metadata"]["held_out_accuracies"]) == 2
        assert record["metadata"]["state"] in ("1 of 2", "2 of 2")
    done = ddbench("rerun", record["run_id"], "--json")
    assert json.loads(done.stdout)["images_agree"] is True, done.stdout
