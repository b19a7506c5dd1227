"""The Python interface."""

import json
import pickle
import subprocess
import sys

import numpy as np
import picture_folders
import pytest
import torch

import ddbench
from benchmark_adapters import datasets


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def record(here):
    """Return the record of a short run of random-real."""
    return ddbench.run("random-real", ipc=2, repeats=1, students=["mlp"], device="cpu")


def test_run_returns_the_record_and_prints_nothing(here, capfd):
    heard = []
    record = ddbench.run(
        "random-real",
        ipc=2,
        repeats=2,
        students=["mlp"],
        device="cpu",
        progress=lambda *told: heard.append(told),
    )
    assert isinstance(record, ddbench.Record)
    assert (record.status, record.ipc, record.n, record.student) == ("ok", 2, 2, "mlp")
    assert ("sampling", 2, 2) in heard
    assert heard[-2:] == [("scoring", 1, 2), ("scoring", 2, 2)]
    assert capfd.readouterr() == ("", "")


def test_phases_of_a_method_are_heard(here):
    method = """import numpy as np
def distill(task, budget):
    for step in range(3):
        task.progress("polishing", step + 1, 3)
    yield np.zeros((10, 1, 28, 28), "uint8"), np.arange(10)
"""
    (here / "black.py").write_text(method)
    heard = []
    ddbench.run(
        "black.py", ipc=1, repeats=0, device="cpu", progress=lambda *told: heard.append(told)
    )
    assert [told for told in heard if told[0] == "polishing"] == [
        ("polishing", step, 3) for step in (1, 2, 3)
    ]


def test_loaded_set_holds_the_images_of_the_run(record):
    loaded = ddbench.load(record)
    assert (len(loaded), loaded.images.shape) == (20, (20, 1, 28, 28))
    assert loaded.labels.tolist() == sorted([*range(10)] * 2)
    assert loaded.class_names == datasets.FASHION_MNIST.class_names
    assert loaded.record == record
    real = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)[0]
    assert (real == loaded.images[0]).all((1, 2, 3)).any()
    image, label = loaded.torch_dataset()[3]
    assert (image.dtype, label.item()) == (torch.float32, 1)
    np.testing.assert_array_equal(image, loaded.images[3].astype(np.float32) / 255)
    for name in (loaded.folder, str(loaded.folder), record.run_id, record.run_id[:20]):
        assert (ddbench.load(name).images == loaded.images).all()


def test_float_images_are_scaled_back_to_pixels(here, untrained_probe):
    labels = torch.arange(10)
    images = torch.randn(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    (here / "team").mkdir()
    torch.save(images, here / "team" / "images_best.pt")
    torch.save(labels, here / "team" / "labels_best.pt")
    ddbench.score("team", "mtt", "quickstart", "us", repeats=1, students=["mlp"], device="cpu")
    loaded = ddbench.load(ddbench.runs()[0])
    assert loaded.images.dtype == np.float32
    pixels = loaded.torch_dataset().tensors[0]
    dataset = datasets.FASHION_MNIST
    torch.testing.assert_close(pixels, images * dataset.std[0] + dataset.mean[0])


def test_score_and_check_take_runs_and_files(record, untrained_probe):
    again = ddbench.score(record, students=["mlp"], repeats=1, device="cpu")
    assert again.accuracies == record.accuracies
    result = ddbench.check(ddbench.load(record).folder, "native", "fashion-mnist")
    assert result.is_fit
    assert (result.images, result.ipc) == (20, 2)
    assert [one.code for one in result.findings] == ["real-images", "class-order"]
    assert result.copies.train_exact == 1
    folder = ddbench.load(record).folder
    result = ddbench.check(folder, "native", "fashion-mnist", track="quickstart")
    assert not result.is_fit
    text = "2 images per class, but track quickstart takes 20"
    assert (result.findings[0].code, result.findings[0].text) == ("ipc", text)


def test_runs_and_leaderboard_are_typed(record):
    other = ddbench.run("random-real", ipc=2, repeats=1, students=["mlp"], seed=1, device="cpu")
    # Runs of the same second have no order.
    assert {one.run_id for one in ddbench.runs()} == {record.run_id, other.run_id}
    assert ddbench.runs(track="fashion-mnist") == []
    with pytest.raises(ddbench.UserError, match="unknown track 'nope'"):
        ddbench.leaderboard(track="nope")
    rows = ddbench.leaderboard(track="quickstart")
    assert all(isinstance(row, ddbench.Row) for row in rows)
    accuracies = [row.accuracy_mean for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {row.record.run_id for row in rows} == {record.run_id, other.run_id}


def test_folders_and_track_files_are_taken(here):
    picture_folders.write(here / "clothes", count=3)
    record = ddbench.run(
        "random-real", dataset=here / "clothes", image_size=16, ipc=1, repeats=0, device="cpu"
    )
    assert (record.dataset, ddbench.load(record).images.shape) == ("clothes", (3, 1, 16, 16))
    track = ["name = 'mine'", "datasets = ['./clothes']", "time_limit = 60", "ipc = [2]"]
    (here / "mine.toml").write_text("\n".join([*track, "recipe = 'quickstart/1'", "repeats = 1"]))
    record = ddbench.run("random-real", here / "mine.toml", device="cpu")
    assert (record.track, record.comparable) == ("mine", True)


def test_decoding_is_heard_and_nothing_is_printed(here, capfd):
    picture_folders.write(here / "clothes", count=3)
    heard = []
    ddbench.run(
        "random-real",
        dataset="clothes/",
        ipc=1,
        repeats=0,
        device="cpu",
        progress=lambda *told: heard.append(told),
    )
    assert ("decoding train", 9, 9) in heard
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("phase", ["sampling", "scoring"])
def test_an_exception_of_the_callback_stops_the_run_after_saving_it(here, phase):
    def progress(heard, done, total):
        if heard == phase:
            raise ZeroDivisionError("stop")

    with pytest.raises(ZeroDivisionError, match="stop"):
        ddbench.run(
            "random-real", ipc=2, repeats=1, students=["mlp"], device="cpu", progress=progress
        )
    (record,) = ddbench.runs()
    assert record.interrupted
    resumed = ddbench.resume(record.run_id)
    assert (resumed.status, resumed.ipc, resumed.n) == ("ok", 2, 1)
    assert resumed.origin.resumes == record.run_id
    with pytest.raises(ddbench.UserError, match="no run in runs can be resumed"):
        ddbench.resume()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "nope"}, "unknown method 'nope'"),
        ({"ipc": 0}, "--ipc 0"),
        ({"image_size": 16}, "image_size and test_split need the argument dataset"),
        ({"track": "eccv2024-fixed"}, "eccv2024-fixed|not found"),
        ({"options": {"nope": 1}}, "no option 'nope'"),
        ({"device": "gpu"}, "--device gpu: expected one of auto, cpu, cuda, mps"),
        ({"backend": "quick"}, "--backend quick: expected one of"),
        ({"students": "mlpp"}, "unknown student 'mlpp'"),
    ],
)
def test_wrong_arguments_raise_user_errors(here, arguments, message):
    with pytest.raises(ddbench.UserError, match=message):
        ddbench.run(**arguments)
    assert list(here.iterdir()) == []


def test_scoring_files_needs_a_team_and_a_track(here):
    with pytest.raises(ddbench.UserError, match="needs the arguments track and name"):
        ddbench.score("team", "eccv2024")


def test_failed_runs_raise_an_error_with_their_record(here):
    (here / "lazy.py").write_text("def distill(task, budget):\n    yield from ()\n")
    with pytest.raises(ddbench.RunFailed, match="the method stopped before generating") as error:
        ddbench.run("lazy.py", device="cpu")
    assert error.value.record.status == "invalid"
    assert ddbench.runs()[0] == error.value.record
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    with pytest.raises(ddbench.UserError, match="has no images: its status is invalid"):
        ddbench.load(error.value.record)


def test_module_stands_for_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "ddbench", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("ddbench, version") or "version" in done.stdout


def test_import_is_light():
    code = "import ddbench, sys, json; print(json.dumps([n for n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers", "transformers"} & set(json.loads(done.stdout))
