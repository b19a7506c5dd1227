"""Model cards."""

import shutil

import pytest

from gdd_plugin.models import registry
from gdd_plugin.training import model_card

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_card_is_of_a_model_that_was_trained_here(made, few, ddbench_turbo, tmp_path):
    done = ddbench_turbo("evaluate", made, "--data", few, "--lora", tmp_path, "--card")
    assert (done.returncode, done.stderr) == (
        2,
        "error: a model card describes the model itself: give --card without --lora\n",
    )
    shutil.copytree(made, tmp_path / "other", ignore=shutil.ignore_patterns("training.json"))
    done = ddbench_turbo("evaluate", tmp_path / "other", "--data", few, "--card")
    assert done.returncode == 2
    assert "training.json doesn't tell how the model was made" in done.stderr


def test_a_model_card_says_what_was_measured(made, tmp_path):
    scores = model_card.read_scores(registry.BUNDLED["turbo-mini"])
    shutil.copy(made / "training.json", tmp_path)
    model_card.write(tmp_path, scores)
    assert model_card.read_scores(tmp_path) == scores
    text = (tmp_path / "README.md").read_text()
    assert f"a share of **{100 * scores.share_of_real:.1f} %**" in text
    assert "fashion-mnist train, without the last 20 images of each class" in text
    assert "--output DIR`, with other settings than the default ones, in " in text
    assert "matching has weight 1, adversarial has weight 0.1, distillation has weight 0.1" in text


def test_the_bundled_card_is_up_to_date_and_reaches_its_goals():
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
