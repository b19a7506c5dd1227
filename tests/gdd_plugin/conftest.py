"""Fixtures for the tests of generative-turbo."""

import struct

import numpy as np
import pytest
from filelock import FileLock

from benchmark_adapters import datasets


@pytest.fixture(scope="session")
def mini():
    """Return a sampler of the bundled model."""
    from gdd_plugin.models.one_step import TurboSampler

    return TurboSampler("turbo-mini")


@pytest.fixture(scope="session")
def random_turbo(tmp_path_factory):
    """Return the folder of a model with random weights, in the layout of SDXL-Turbo."""
    import torch

    from gdd_plugin.models import turbo_mini

    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("models") / "random-turbo"
    turbo_mini.pipeline(["a photo of a cat", "dog"]).save_pretrained(target)
    return target


@pytest.fixture(scope="session")
def few(tmp_path_factory):
    """Return a folder with 1,000 real training images, from Fashion-MNIST's bundled test split."""
    folder = tmp_path_factory.mktemp("few")
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    for name, array in (("images-idx3", images[:1000, 0]), ("labels-idx1", labels[:1000])):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    (folder / "t10k-images-idx3-ubyte").touch()
    return folder


@pytest.fixture(scope="session")
def trained_model(few, shared):
    """Return the folder of a model from a complete but very short training run."""
    import torch
    from small_training import train_small

    from gdd_plugin.training import loop

    folder = shared / "trained"
    with FileLock(shared / "trained.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            patch.setattr(loop, "LOG_EVERY", 1)
            train_small(folder, few, save_every=2)
            torch.set_num_threads(threads)
    return folder


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Return the folder of an empty Hub cache, without access to the Hub itself."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"
