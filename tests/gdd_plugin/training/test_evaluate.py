"""Tests of the scores in a model card."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError
from gdd_plugin.training import evaluate, metrics

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_evaluate_returns_plausible_scores(trained_model, few, monkeypatch):
    monkeypatch.setattr(evaluate, "PER_CLASS", 60)
    monkeypatch.setattr(metrics, "RECIPE", replace(metrics.RECIPE, steps=60, width=8))
    evaluation = evaluate.evaluate(str(trained_model), None, FASHION_MNIST, few, "held-out", 1)
    # Students learn next to nothing from an untrained generator, but they learn from real images.
    accuracy = evaluation.accuracy_percent
    assert accuracy.real > 60 > 40 > accuracy.generated
    share = accuracy.generated / accuracy.real
    assert evaluation.share_of_real == pytest.approx(share, abs=1e-3)
    # Each class has 20 held-out images.
    recalls = evaluation.per_class_percent.values()
    generated = np.mean([recall.generated for recall in recalls])
    real = np.mean([recall.real for recall in recalls])
    assert (generated, real) == pytest.approx((accuracy.generated, accuracy.real), abs=0.1)
    assert evaluation.nearest_real_1st_percentile.unseen_real > 0


def test_evaluate_uses_only_images_that_the_model_has_not_seen(trained_model, few, tmp_path):
    assert evaluate.count_held_out([trained_model], FASHION_MNIST) == 200
    assert evaluate.count_held_out([trained_model], TINY_IMAGENET) == evaluate.HELD_OUT
    shutil.copytree(trained_model, tmp_path / "all")
    metadata = json.loads((trained_model / "training.json").read_text())
    metadata["settings"]["held_out"] = 0
    (tmp_path / "all" / "training.json").write_text(json.dumps(metadata))
    with pytest.raises(
        UserError, match="trained on all training images of fashion-mnist; use --split test"
    ):
        evaluate.evaluate(str(tmp_path / "all"), None, FASHION_MNIST, few, "held-out", 1)


@pytest.mark.slow
def test_bundled_model_reaches_the_scores_in_its_card():
    """Repeat the evaluation with one seed on held-out training images."""
    try:
        datasets.find(FASHION_MNIST)
    except UserError as error:
        pytest.skip(str(error))
    evaluation = evaluate.evaluate("turbo-mini", None, FASHION_MNIST, None, "held-out", 1)
    assert evaluation.share_of_real >= 0.94
    assert evaluation.variety_share >= 0.85
