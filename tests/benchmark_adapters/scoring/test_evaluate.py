"""Scores of a small real set."""

from dataclasses import replace

import pytest
from sample_sets import real_set

from benchmark_adapters import datasets, environment
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import backends, training
from benchmark_adapters.scoring.evaluate import score
from benchmark_adapters.scoring.recipes import QUICKSTART
from benchmark_adapters.scoring.seed_cache import SeedCache
from benchmark_adapters.scoring.student_registry import STUDENTS
from benchmark_adapters.types import Student

RECIPE = replace(QUICKSTART, width=8, steps=4)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def test_images():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    return images[:50], labels[:50]


@pytest.fixture
def scores(test_images, tmp_path):
    def compute(seeds, student="convnet3", backend="auto", report=lambda *progress: None):
        return list(
            score(
                real_set(2),
                test_images,
                FASHION_MNIST,
                RECIPE,
                STUDENTS[student],
                seeds,
                "cpu",
                report,
                SeedCache(tmp_path / "cache"),
                backend,
            )
        )

    return compute


def test_score_yields_result_and_key_per_seed(scores):
    progress = []
    first, second = scores([0, 1], report=lambda *step: progress.append(step))
    assert progress == [(seed, step, 4) for seed in range(2) for step in range(1, 5)]
    assert first.cache_key != second.cache_key
    assert (first.backend, first.fallback) == ("fused", None)
    assert sum(map(sum, first.confusion)) == 50
    assert sum(row[label] for label, row in enumerate(first.confusion)) == 50 * first.accuracy


def test_score_does_not_retrain_finished_seeds(scores, monkeypatch):
    (first,) = scores([0])
    trained = []
    train = training.train
    monkeypatch.setattr(
        training, "train", lambda *a, **k: (trained.append(a[4]), train(*a, **k))[1]
    )
    again, second = scores([0, 1])
    assert again == first
    assert second != first
    assert trained == [1]


def test_a_result_of_other_versions_or_code_is_not_reused(scores, monkeypatch, tmp_path):
    (first,) = scores([0], "mlp")
    with monkeypatch.context() as patch:
        patch.setattr(environment, "versions", lambda: {"torch": "0.1"})
        (other,) = scores([0], "mlp")
    assert other.cache_key != first.cache_key
    keys = set()
    monkeypatch.syspath_prepend(tmp_path)
    for comment in ("one", "two"):
        text = f"from benchmark_adapters.scoring.students import mlp  # {comment}\n"
        (tmp_path / "own_student.py").write_text(
            f"{text}def build(*size):\n    return mlp(*size)\n"
        )
        monkeypatch.setitem(STUDENTS, "own", Student("own", "own_student:build"))
        keys.add(scores([0], "own")[0].cache_key)
    assert len(keys) == 2


def test_score_caches_backends_separately(scores, monkeypatch):
    monkeypatch.setattr(backends, "_compiled", lambda loss: loss)
    results = {name: scores([0], backend=name)[0] for name in ("auto", "reference", "fast")}
    assert {name: result.backend for name, result in results.items()} == {
        "auto": "fused",
        "reference": "plain",
        "fast": "winograd",
    }
    assert len({result.cache_key for result in results.values()}) == 3


def test_score_caches_plain_and_reference_separately(scores):
    """The reference backend uses another memory format, which changes the rounding."""
    auto, reference = (scores([0], "mlp", name)[0] for name in ("auto", "reference"))
    assert (auto.backend, reference.backend) == ("plain", "plain")
    assert auto.cache_key != reference.cache_key


def test_score_reports_fallback(scores, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(backends, "_compiled", lambda loss: fail)
    with pytest.warns(UserWarning, match="without torch.compile"):
        (result,) = scores([0], backend="fast")
    assert (result.backend, result.fallback) == ("fused", "torch.compile failed: RuntimeError")
    assert scores([0], backend="fast") == [result]
