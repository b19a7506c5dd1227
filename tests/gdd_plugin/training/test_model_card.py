"""Tests of model cards."""

import shutil

import pytest

from gdd_plugin.models import registry
from gdd_plugin.training import model_card

pytestmark = pytest.mark.usefixtures("one_thread")


def test_card_needs_a_model_from_train_without_an_adapter(
    trained_model, few, ddbench_turbo, tmp_path
):
    done = ddbench_turbo("evaluate", trained_model, "--data", few, "--lora", tmp_path, "--card")
    assert (done.returncode, done.stderr) == (
        2,
        "error: a model card describes the model without adapters: use --card without --lora\n",
    )
    ignored = shutil.ignore_patterns("training.json")
    shutil.copytree(trained_model, tmp_path / "other", ignore=ignored)
    done = ddbench_turbo("evaluate", tmp_path / "other", "--data", few, "--card")
    assert done.returncode == 2
    assert "training.json does not describe how the model was trained" in done.stderr


def test_write_creates_scores_and_a_card_that_states_them(trained_model, tmp_path):
    scores = model_card.read_scores(registry.BUNDLED["turbo-mini"])
    shutil.copy(trained_model / "training.json", tmp_path)
    model_card.write(tmp_path, scores)
    assert model_card.read_scores(tmp_path) == scores
    text = (tmp_path / "README.md").read_text()
    assert f"a share of **{100 * scores.share_of_real:.1f} %**" in text
    assert "fashion-mnist train, without the last 20 images of each class" in text
    assert "--output DIR`, with non-default settings, took " in text
    assert "losses: matching 1, adversarial 0.1, distillation 0.1." in text


def test_bundled_card_is_up_to_date_and_its_scores_reach_the_goals():
    folder = registry.BUNDLED["turbo-mini"]
    scores = model_card.read_scores(folder)
    assert (folder / "README.md").read_text().splitlines()[1:] == model_card.render(
        folder, scores
    ).splitlines()[1:]
    assert scores.split == "test"
    assert scores.share_of_real >= 0.94
    assert min(recall.generated for recall in scores.per_class_percent.values()) >= 45
    assert scores.variety_share >= 0.85
    nearest = scores.nearest_real_1st_percentile
    assert nearest.generated >= nearest.unseen_real
