"""What a model is worth: the numbers of its card, and what they are measured on."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError
from gdd_plugin import models
from gdd_plugin.training import card, data, evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_numbers_of_a_model_card(made, few, monkeypatch):
    monkeypatch.setattr(evaluate, "PER_CLASS", 60)
    monkeypatch.setattr(evaluate, "RECIPE", replace(evaluate.RECIPE, steps=60, width=8))
    found = evaluate.evaluate(str(made), None, FASHION_MNIST, few, "held-out", 1)
    # An untrained generator teaches next to nothing; real images do.
    assert found["accuracy_percent"]["real"] > 60 > 40 > found["accuracy_percent"]["generated"]
    assert found["share_of_real"] == pytest.approx(
        found["accuracy_percent"]["generated"] / found["accuracy_percent"]["real"], abs=1e-3
    )
    for side, accuracy in found["accuracy_percent"].items():  # 20 held-out images of each class
        assert np.mean([one[side] for one in found["per_class_percent"].values()]) == pytest.approx(
            accuracy, abs=0.1
        )
    assert found["nearest_real_1st_percentile"]["unseen_real"] > 0


def test_a_model_is_measured_on_what_it_has_not_seen(made, few, tmp_path):
    assert evaluate.held_out([made], FASHION_MNIST) == 200
    assert evaluate.held_out([made], TINY_IMAGENET) == evaluate.HELD_OUT
    shutil.copytree(made, tmp_path / "all")
    story = json.loads((made / "training.json").read_text())
    story["settings"]["held_out"] = 0
    (tmp_path / "all" / "training.json").write_text(json.dumps(story))
    with pytest.raises(
        UserError, match="has seen all training images of fashion-mnist; give --split test"
    ):
        evaluate.evaluate(str(tmp_path / "all"), None, FASHION_MNIST, few, "held-out", 1)


def test_a_card_is_of_a_model_that_was_trained_here(made, few, ddbench_turbo, tmp_path):
    done = ddbench_turbo("evaluate", made, "--data", few, "--lora", tmp_path, "--card")
    assert (done.returncode, done.stderr) == (
        2,
        "error: a model card is of the model itself: give --card without --lora\n",
    )
    shutil.copytree(made, tmp_path / "other", ignore=shutil.ignore_patterns("training.json"))
    done = ddbench_turbo("evaluate", tmp_path / "other", "--data", few, "--card")
    assert done.returncode == 2
    assert "training.json doesn't tell how the model was made" in done.stderr


def test_a_model_card_says_what_was_measured(made, tmp_path):
    scores = json.loads((models.BUNDLED["turbo-mini"] / "scores.json").read_text())
    shutil.copy(made / "training.json", tmp_path)
    card.write(tmp_path, scores)
    text = (tmp_path / "README.md").read_text()
    assert f"a share of **{100 * scores['share_of_real']:.1f} %**" in text
    assert "fashion-mnist train, without the last 20 images of each class" in text
    assert "--output DIR`, with other settings than the default ones, in " in text
    assert "matching has weight 1, adversarial has weight 0.1, distillation has weight 0.1" in text


def test_the_bundled_card_is_up_to_date_and_reaches_its_goals():
    folder = models.BUNDLED["turbo-mini"]
    scores = json.loads((folder / "scores.json").read_text())
    assert (folder / "README.md").read_text().splitlines()[1:] == card.render(
        folder, scores
    ).splitlines()[1:]
    assert scores["split"] == "test"
    assert scores["share_of_real"] >= 0.94
    assert min(found["generated"] for found in scores["per_class_percent"].values()) >= 45
    assert scores["variety_share"] >= 0.85
    assert (
        scores["nearest_real_1st_percentile"]["generated"]
        >= scores["nearest_real_1st_percentile"]["unseen_real"]
    )


@pytest.mark.slow
def test_the_bundled_model_is_worth_what_its_card_says():
    """Both sides anew, one seed, on held-out training images."""
    try:
        datasets.find(FASHION_MNIST)
    except UserError as error:
        pytest.skip(str(error))
    found = evaluate.evaluate("turbo-mini", None, FASHION_MNIST, None, "held-out", 1)
    assert found["share_of_real"] >= 0.94
    assert found["variety_share"] >= 0.85


def test_variety_and_nearest_by_known_sets():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    torch.manual_seed(0)
    net = evaluate.students.build("convnet3", 10, 28, 1, 8)
    whole = evaluate.variety(
        net, evaluate.distilled(images, labels, FASHION_MNIST, 50), FASHION_MNIST
    )
    same = np.concatenate([images[labels == label][:1].repeat(30, 0) for label in range(10)])
    assert (
        evaluate.variety(
            net,
            evaluate.distilled(same, np.repeat(np.arange(10), 30), FASHION_MNIST, 30),
            FASHION_MNIST,
        )
        < 0.01 * whole
    )
    assert evaluate.nearest(images[:100], images[:1000]) < 0.1
    assert evaluate.nearest(images[1000:1100], images[:1000]) > 5


def test_the_last_images_of_each_class_are_held_out(few):
    real = data.Real(FASHION_MNIST, few, 200, 8)
    images, labels = datasets.load(FASHION_MNIST, "train", few)
    for label in range(10):
        ours = images[labels == label]
        np.testing.assert_array_equal(real.unseen[0][real.unseen[1] == label], ours[-20:])
        np.testing.assert_array_equal(real.images[real.labels == label], ours[:-20])


def test_pictures_are_drawn_class_by_class(few):
    real = data.Real(FASHION_MNIST, few, 200, 8)
    drawn = real.draw([3, 7], 5)
    assert real.labels[drawn].tolist() == [3] * 5 + [7] * 5
    torch.testing.assert_close(real.pictures(drawn), real.images[drawn] / 127.5 - 1)
