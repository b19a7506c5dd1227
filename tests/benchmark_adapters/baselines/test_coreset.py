"""Methods that select real training images."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_runs import run

from benchmark_adapters import datasets
from benchmark_adapters.baselines import coreset
from benchmark_adapters.datasets import FASHION_MNIST
from benchmark_adapters.scoring import features


def test_herd_selects_greedily():
    """Each row is the one that brings the mean of the selected rows closest to the overall mean."""
    features = np.random.default_rng(0).normal(size=(40, 5))
    chosen = list(coreset.herd(features, 12))
    assert len(set(chosen)) == 12
    for step in range(12):
        distances = {
            row: np.linalg.norm(features[[*chosen[:step], row]].mean(0) - features.mean(0))
            for row in range(40)
            if row not in chosen[:step]
        }
        assert chosen[step] == min(distances, key=distances.get)


def test_herd_preserves_the_mean_better_than_chance():
    features = np.random.default_rng(1).normal(size=(500, 8))
    random = np.random.default_rng(2).permutation(500)[:20]
    off = [
        np.linalg.norm(features[rows].mean(0) - features.mean(0))
        for rows in (coreset.herd(features, 20), random)
    ]
    assert off[0] < off[1] / 5
    assert sorted(coreset.herd(features, 500)) == list(range(500))


def test_nearest_to_centres_returns_one_row_per_cluster_large_clusters_first():
    source = np.random.default_rng(0)
    sizes, places = (30, 20, 10), np.eye(3) * 50
    features = np.concatenate(
        [place + source.normal(size=(size, 3)) for size, place in zip(sizes, places, strict=True)]
    )
    chosen = coreset.nearest_to_centres(features, 3, seed=0)
    assert [int(features[row].argmax()) for row in chosen] == [0, 1, 2]
    for cluster, row in enumerate(chosen):
        members = features[features.argmax(1) == cluster]
        nearest = members[np.linalg.norm(members - members.mean(0), axis=1).argmin()]
        assert np.array_equal(features[row], nearest)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nearest_to_centres_returns_distinct_rows_for_repeated_images():
    chosen = coreset.nearest_to_centres(np.repeat(np.eye(2), 5, axis=0), 4, seed=0)
    assert len(set(chosen)) == 4


@pytest.mark.parametrize("name", ["random-real", "herding", "kmeans"])
def test_methods_select_distinct_real_training_images(
    example_plugins, methods_here, monkeypatch, tmp_path, name
):
    # Poor features are enough to select real images.
    monkeypatch.setattr(features, "QUICKSTART", replace(features.QUICKSTART, steps=5))
    folder, record = run(example_plugins, tmp_path, name, ipc=3, repeats=0, time_limit=300)
    assert (record.status, record.ipc) == ("ok", 3)
    assert (record.uses_real_data, record.generated_per_class) == (True, 0)
    chosen = load_file(folder / "images.safetensors")
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    real = {image.tobytes(): label for image, label in zip(images[:300], labels[:300], strict=True)}
    assert [real[image.tobytes()] for image in chosen["images"]] == chosen["labels"].tolist()
    assert len({image.tobytes() for image in chosen["images"]}) == 30
    has_features = "convnet3 at width 64" in record.metadata.get("features", "")
    assert has_features == (name != "random-real")
