"""Tests of reading ``training.json``."""

import shutil

import pytest

from benchmark_adapters.types import UserError
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.models.training_metadata import TrainingMetadata, read_training_metadata


def test_damaged_training_metadata_is_reported(random_turbo, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(random_turbo, copy)
    (copy / "training.json").write_text("{")
    with pytest.raises(UserError, match=r"training.json is damaged"):
        TurboSampler(str(copy))


def test_read_training_metadata_accepts_missing_and_foreign_files(tmp_path):
    assert read_training_metadata(tmp_path) == TrainingMetadata()
    (tmp_path / "training.json").write_text('{"border": 3, "optimizer": "sgd"}')
    assert read_training_metadata(tmp_path) == TrainingMetadata(border=3)
