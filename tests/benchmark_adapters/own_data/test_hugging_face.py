"""Datasets in the files of the package ``datasets``."""

import builtins
import io

import datasets as hugging_face
import numpy as np
import picture_folders
import pytest

from benchmark_adapters import datasets
from benchmark_adapters.types import UserError


def _table(count):
    features = hugging_face.Features(
        image=hugging_face.Image(), label=hugging_face.ClassLabel(names=["Trouser", "Bag"])
    )
    rows = {"image": [], "label": []}
    for label, name in enumerate(("Trouser", "Bag")):
        for picture in picture_folders.pictures(name, count):
            file = io.BytesIO()
            picture.save(file, "PNG")
            rows["image"].append({"bytes": file.getvalue(), "path": None})
            rows["label"].append(label)
    return hugging_face.Dataset.from_dict(rows, features)


@pytest.fixture
def parquet(tmp_path):
    """Return a folder of Parquet files, as repositories on the Hub have them."""
    folder = tmp_path / "clothes" / "data"
    folder.mkdir(parents=True)
    _table(3).to_parquet(folder / "train-00000-of-00001.parquet")
    _table(2).to_parquet(folder / "test-00000-of-00001.parquet")
    return tmp_path / "clothes"


def _check(dataset):
    assert (dataset.name, dataset.class_names) == ("clothes", ("Trouser", "Bag"))
    images, labels = datasets.load(dataset, "train")
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    first = np.asarray(picture_folders.pictures("Trouser", 1)[0])
    assert (images[0, 0] == first).all()
    assert dataset.test_size == 4


def test_parquet_files_are_read(find, parquet):
    _check(find(f"hf:{parquet}"))


def test_folders_of_save_to_disk_are_read(find, tmp_path):
    saved = hugging_face.DatasetDict(train=_table(3), validation=_table(2))
    saved.save_to_disk(tmp_path / "clothes")
    with pytest.raises(UserError, match="no split test; its splits: train, validation"):
        find(f"hf:{tmp_path / 'clothes'}")
    _check(find(f"hf:{tmp_path / 'clothes'}?test=validation"))
    assert find(f"hf:{tmp_path / 'clothes'}?test=0.34").test_size == 2


def test_labels_must_be_known_and_every_class_needs_pictures(find, parquet):
    table = _table(2)
    file = parquet / "data" / "test-00000-of-00001.parquet"
    for hidden in (-1, None):
        rows = table.to_list()
        changed = hugging_face.Dataset.from_list(
            [{**row, "label": hidden} for row in rows], table.features
        )
        changed.to_parquet(file)
        with pytest.raises(UserError, match=r"row 0 of test has label -1, expected 0 to 1"):
            find(f"hf:{parquet}")
    table.select([0, 1]).to_parquet(file)
    with pytest.raises(UserError, match="no pictures of Bag in test"):
        find(f"hf:{parquet}")


def test_a_single_split_saved_to_disk_can_be_divided(find, tmp_path, capfd):
    _table(4).save_to_disk(tmp_path / "clothes")
    capfd.readouterr()
    assert find(f"hf:{tmp_path / 'clothes'}?test=0.5").test_size == 4
    assert capfd.readouterr() == ("", "")


def test_a_folder_of_something_else_is_refused(find, tmp_path, parquet):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no Parquet files named SPLIT"):
        find(f"hf:{tmp_path / 'empty'}")
    (parquet / "data" / "test-00000-of-00001.parquet").write_bytes(b"damaged")
    with pytest.raises(UserError, match="can't be read"):
        find(f"hf:{parquet}")
    table = hugging_face.Dataset.from_dict({"text": ["a"], "label": [0]})
    table.to_parquet(parquet / "data" / "train-00000-of-00001.parquet")
    (parquet / "data" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="0 columns of type Image, expected one; its columns: text"):
        find(f"hf:{parquet}?test=0.5")


def test_without_the_package_the_message_says_how_to_install_it(find, parquet, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **others):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *arguments, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install 'ddbench\[hf\]'"):
        find(f"hf:{parquet}")
