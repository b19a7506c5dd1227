"""Runs, from the request to the record."""

import json
import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import run

from benchmark_adapters import datasets
from benchmark_adapters.runs import pipeline
from benchmark_adapters.types import UserError
from leaderboard.records.record import Reason, Record

# Fields of record.json that others rely on.
PROMISED = """
    schema run_id status message track dataset method options seed ipc generated_per_class
    accuracies accuracy_mean accuracy_std accuracy_ci95 seconds images_per_second
    model model_sha256 model_trained_on images_sha256 data_sha256 recipe recipe_sha256
    uses_real_data comparable limit_enforced batch threads confusion hardware versions commit
    created
"""


def test_good_run_writes_files_and_record(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "good", seed=7)
    assert folder.relative_to(tmp_path).parts == ("runs", "few", "few", "good", record.run_id)
    assert {path.name for path in folder.iterdir()} == {
        "record.json",
        "manifest.json",
        "images.safetensors",
        "grid.png",
        "log.txt",
    }
    tensors = load_file(folder / "images.safetensors")
    assert tensors["images"].dtype == np.uint8
    assert tensors["images"].shape == (20, 1, 28, 28)
    assert tensors["labels"].tolist() == np.repeat(np.arange(10), 2).tolist()
    assert (record.status, record.ipc, record.seeds, record.n, record.comparable) == (
        "ok",
        2,
        [7, 8],
        2,
        True,
    )
    assert record.accuracy_mean == pytest.approx(sum(record.accuracies) / 2)
    assert np.sum(record.confusion) == 2 * 300
    assert np.trace(record.confusion) / 600 == pytest.approx(record.accuracy_mean)
    assert (record.model, record.batch, record.device) == ("noise", 10, "cpu")
    assert record.images_per_second > 0
    assert 0 < record.seconds.load < 30
    assert record.versions["torch"]
    assert record.hardware["cores"] >= 1
    test = datasets.load(example_plugins.datasets["few"], "test", bundled=True)
    assert record.data_sha256 == datasets.digest(*test)


def test_record_has_every_promised_field(example_plugins, tmp_path):
    folder, _ = run(example_plugins, tmp_path, "good")
    text = (folder / "record.json").read_text()
    assert set(PROMISED.split()) <= set(json.loads(text))
    assert os.uname().nodename not in text
    assert str(tmp_path) not in text
    assert Record.from_json(text).device == "cpu"


def test_equal_seeds_give_equal_images_and_accuracies(example_plugins, tmp_path):
    first, second, other = (
        run(example_plugins, tmp_path, "good", seed=seed)[1] for seed in (3, 3, 4)
    )
    assert first.images_sha256 == second.images_sha256 != other.images_sha256
    assert first.accuracies == second.accuracies


def test_records_omit_folders_reported_by_methods(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "talks-of-folders", ipc=3)
    assert "alice" not in (folder / "record.json").read_text()
    assert (record.model, record.metadata["weights"]) == ("mine", "w.bin")


def test_signal_after_sampling_keeps_images(example_plugins, tmp_path, monkeypatch):
    save = pipeline._save

    def interrupted(*arguments):
        save(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(pipeline, "_save", interrupted)
    folder, record = run(example_plugins, tmp_path, "good")
    assert (record.status, record.accuracies) == ("error", [])
    assert (record.failed_stage, record.interrupted) == ("scoring", True)
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_copies_are_not_counted_as_generated(example_plugins, tmp_path):
    _, record = run(example_plugins, tmp_path, "marks", ipc=4, repeats=0)
    assert (record.ipc, record.generated_per_class) == (4, 2)


def test_options_reach_the_method_with_their_types(example_plugins, tmp_path):
    _, record = run(
        example_plugins,
        tmp_path,
        "options",
        options=["number=7", "share=.25", "flag=yes"],
        repeats=0,
    )
    assert record.metadata["seen"] == {
        "text": "'a'",
        "number": "7",
        "share": "0.25",
        "flag": "True",
    }


def test_random_real_uses_real_training_images(example_plugins, tmp_path):
    folder, record = run(example_plugins, tmp_path, "random-real", repeats=0)
    real = datasets.load(example_plugins.datasets["few"], "train", bundled=True)[0]
    chosen = load_file(folder / "images.safetensors")["images"]
    assert all((real == image).all((1, 2, 3)).any() for image in chosen)
    assert (record.uses_real_data, record.images_per_second, record.generated_per_class) == (
        True,
        None,
        0,
    )


def test_track_can_disallow_real_images(example_plugins, tmp_path):
    _, record = run(example_plugins, tmp_path, "random-real", track="few-sizes")
    assert (record.status, record.message) == (
        "error",
        "track few-sizes does not allow real training images",
    )


def test_too_many_real_images_is_a_clear_error(example_plugins, tmp_path):
    _, record = run(example_plugins, tmp_path, "random-real", ipc=1000)
    assert record.status == "error"
    assert "request fewer with --ipc" in record.message


def test_ipc_is_a_category_on_tracks_with_several(example_plugins, tmp_path):
    one, two = (
        run(example_plugins, tmp_path, "good", track="few-sizes", ipc=ipc)[1] for ipc in (1, 2)
    )
    assert (one.category, two.category, one.comparable, two.comparable) == (
        "IPC 1",
        "IPC 2",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ipc": 3}, Reason("ipc", "IPC 3 instead of 2")),
        ({"time_limit": 20}, Reason("time-limit", "time limit 20 s instead of 30 s")),
        ({"repeats": 1}, Reason("repeats", "1 repeat instead of 2")),
    ],
)
def test_deviations_from_the_track_are_recorded(example_plugins, tmp_path, settings, reason):
    _, record = run(example_plugins, tmp_path, "good", **settings)
    assert record.status == "ok"
    assert (record.comparable, record.not_comparable_because) == (False, [reason])


def test_runs_folder_that_cannot_be_created_is_an_error(example_plugins, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not write to the runs folder"):
        run(example_plugins, tmp_path, "good", runs=tmp_path / "file" / "runs")


def test_failed_scoring_keeps_images(example_plugins, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise MemoryError("no memory left")

    monkeypatch.setattr("benchmark_adapters.scoring.training.train", fail)
    folder, record = run(example_plugins, tmp_path, "good")
    assert (record.status, record.accuracies, record.comparable) == ("error", [], False)
    assert (
        record.message
        == "scoring failed: its process failed with MemoryError (the images are saved)"
    )
    assert len(load_file(folder / "images.safetensors")["labels"]) == 20


def test_interrupted_scoring_resumes_at_the_next_seed(example_plugins, tmp_path, monkeypatch):
    """It is interrupted while training the third of four students; the next run trains the rest."""
    from benchmark_adapters.scoring import training

    trained, train = [], training.train

    def fail_at_third(net, images, labels, recipe, seed, *rest, **named):
        trained.append(seed)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return train(net, images, labels, recipe, seed, *rest, **named)

    monkeypatch.setattr(training, "train", fail_at_third)
    settings = {"repeats": 2, "students": ["convnet3", "mlp"], "seed": 4}
    _, first = run(example_plugins, tmp_path, "good", **settings)
    assert (first.status, first.message) == (
        "error",
        "scoring failed: interrupted (the images are saved; finished seeds: 2)",
    )
    assert (first.seeds, len(first.accuracies), first.other_students, first.comparable) == (
        [4, 5],
        2,
        {"mlp": []},
        False,
    )
    _, second = run(example_plugins, tmp_path, "good", **settings)
    assert trained == [4, 5, 4, 4, 5]
    assert (second.status, second.accuracies, len(second.other_students["mlp"])) == (
        "ok",
        first.accuracies,
        2,
    )
    assert not list((tmp_path / "runs" / ".unfinished").iterdir())
    # Nothing is reused from a finished run.
    _, third = run(example_plugins, tmp_path, "good", **settings)
    assert trained[5:] == [4, 5, 4, 5]
    assert third.accuracies == second.accuracies
