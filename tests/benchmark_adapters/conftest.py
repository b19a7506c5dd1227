"""Fixtures for the tests of the harness: the example plugin, runs and a submission."""

import os
import shutil
import subprocess

import pytest
from project import COMMAND, installed
from small_runs import only

from benchmark_adapters import datasets
from benchmark_adapters.execution import discovery
from benchmark_adapters.runs import pipeline
from benchmark_adapters.runs.request import Request, plan_runs


@pytest.fixture(scope="session")
def clothes():
    """Return Fashion-MNIST's bundled training images and labels.

    Images are float32 [1000, 1, 28, 28], normalised.
    """
    import torch

    from benchmark_adapters.scoring.images import normalise

    images, labels = datasets.load(datasets.FASHION_MNIST, "train", bundled=True)
    return normalise(images, datasets.FASHION_MNIST), torch.from_numpy(labels)


@pytest.fixture(scope="session")
def real_runs(example_folder, tmp_path_factory):
    """Return a runs folder with random-real on the tracks ``few`` and ``pair``."""
    runs = tmp_path_factory.mktemp("real") / "runs"
    with installed(example_folder):
        for track in ("few", "pair"):
            request = Request("random-real", track=track, runs=runs, device="cpu")
            for plan in plan_runs(request, discovery.installed()):
                pipeline.run(plan)
    return runs


@pytest.fixture(scope="session")
def exported(example_folder, real_runs, tmp_path_factory):
    """Return a folder with the images of the run on ``few`` in the challenge's format."""
    folder = tmp_path_factory.mktemp("submission") / "team"
    subprocess.run(
        [COMMAND, "export", only(real_runs, "few"), "--format", "eccv2024", "--output", folder],
        check=True,
        env={**os.environ, "PYTHONPATH": str(example_folder)},
    )
    return folder


@pytest.fixture
def submission(exported, tmp_path):
    """Return the folder ``team``, a copy of ``exported`` that a test may modify."""
    return shutil.copytree(exported, tmp_path / "team")
