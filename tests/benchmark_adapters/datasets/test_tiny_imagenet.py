"""A small version of Tiny-ImageNet's folder, and errors if it differs from the published one."""

import json
import shutil

import pytest
from PIL import Image

from benchmark_adapters import datasets
from benchmark_adapters.datasets import TINY_IMAGENET, tiny_imagenet
from benchmark_adapters.datasets.class_names import LABELS
from benchmark_adapters.types import UserError


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a folder in the published layout, with a training image of each class."""
    monkeypatch.setattr(tiny_imagenet, "TRAIN_PER_CLASS", 1)
    wnids = list(json.loads((LABELS / "tiny-imagenet.json").read_text()))
    root = tmp_path / "tiny-imagenet-200"
    for number, wnid in enumerate(wnids):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        Image.new("RGB", (64, 64), (number, 0, 0)).save(images / f"{wnid}_0.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    rows = []
    for number, label in enumerate((95, 0, 199)):
        # Some of the published files are greyscale.
        mode = "L" if number == 1 else "RGB"
        Image.new(mode, (64, 64), 200 if mode == "L" else (10, 20, 30)).save(
            root / "val" / "images" / f"val_{number}.JPEG"
        )
        rows.append(f"val_{number}.JPEG\t{wnids[label]}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    # The published file is not sorted either.
    (root / "wnids.txt").write_text("\n".join(reversed(wnids)) + "\n")
    return root


def test_load_labels_classes_by_sorted_wordnet_id(tiny):
    images, labels = datasets.load(TINY_IMAGENET, "test", tiny.parent)
    assert labels.tolist() == [95, 0, 199]
    assert images.shape == (3, 3, 64, 64)
    assert images[1].min() == images[1].max() == 200
    assert datasets.load(TINY_IMAGENET, "train", tiny)[1].tolist() == list(range(200))
    assert TINY_IMAGENET.class_names[95] == "crane"


def nest(root):
    inner = root / root.name
    inner.mkdir()
    for entry in [*root.iterdir()]:
        if entry != inner:
            entry.rename(inner / entry.name)


def pad_lists(root):
    for file in (root / "wnids.txt", root / "val" / "val_annotations.txt"):
        lines = file.read_text().splitlines()
        file.write_text("".join(f"{line}  \r\n" for line in lines) + "\n")


def move_by_class(root, inner=""):
    """Do what the usual scripts do for readers of image folders."""
    rows = [
        line.split("\t") for line in (root / "val/val_annotations.txt").read_text().splitlines()
    ]
    for name, wnid, *_ in rows:
        folder = root / "val" / wnid / inner
        folder.mkdir(parents=True, exist_ok=True)
        (root / "val" / "images" / name).rename(folder / name)
    (root / "val" / "images").rmdir()
    (root / "val" / "val_annotations.txt").unlink()


def move_training_images_up(root):
    for folder in [*(root / "train").glob("*/images")]:
        for file in [*folder.iterdir()]:
            file.rename(folder.parent / file.name)
        folder.rmdir()


@pytest.mark.parametrize(
    "rearrange",
    [
        nest,
        pad_lists,
        move_by_class,
        lambda root: move_by_class(root, "images"),
        move_training_images_up,
    ],
    ids=["nested", "blanks", "by class", "by class, images", "no images folder"],
)
def test_other_layouts_give_the_same_data(tiny, rearrange):
    before = [datasets.load(TINY_IMAGENET, split, tiny.parent) for split in ("train", "test")]
    rearrange(tiny)
    after = [datasets.load(TINY_IMAGENET, split, tiny.parent) for split in ("train", "test")]
    assert [datasets.digest(*one) for one in after] == [datasets.digest(*one) for one in before]


def test_missing_validation_images_are_named(tiny):
    (tiny / "val" / "images").rename(tiny / "val" / "pictures")
    with pytest.raises(UserError, match="has neither a folder images nor a folder for each class"):
        datasets.load(TINY_IMAGENET, "test", tiny)


def test_incomplete_data_is_named(tiny):
    shutil.rmtree(tiny / "train" / "n01443537")
    (tiny / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(UserError, match=r"its test split lacks val/images/val_1\.JPEG; unpack the"):
        datasets.load(TINY_IMAGENET, "test", tiny)
    text = datasets.lacking(TINY_IMAGENET, tiny, "train")
    assert text.endswith("its train split lacks train/n01443537 (0 of 1 images)")
    (tiny / "wnids.txt").unlink()
    with pytest.raises(UserError, match=r"lacks wnids\.txt; unpack"):
        datasets.load(TINY_IMAGENET, "train", tiny.parent)


def damage_encoding(root):
    (root / "wnids.txt").write_bytes(bytes(range(128, 256)))


def damage_wnids(root):
    (root / "wnids.txt").write_text(
        "n00000000\n" + "\n".join((root / "wnids.txt").read_text().splitlines()[1:])
    )


def damage_annotation(root):
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn99999999\t0\t0\t1\t1\n")


def damage_columns(root):
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG n01443537\n")


def damage_image(root):
    file = root / "val" / "images" / "val_2.JPEG"
    file.write_bytes(file.read_bytes()[:100])


def damage_size(root):
    Image.new("RGB", (32, 64)).save(root / "val" / "images" / "val_0.JPEG")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_wnids, "wnids.txt: these are not the 200 WordNet IDs"),
        (damage_encoding, "wnids.txt: these are not the 200 WordNet IDs"),
        (damage_annotation, "val_annotations.txt, line 1"),
        (damage_columns, "val_annotations.txt, line 1"),
        (damage_image, "val_2.JPEG: not readable as an image"),
        (damage_size, "val_0.JPEG: 32x64 pixels, expected 64x64"),
        (
            lambda root: (root / "val" / "val_annotations.txt").unlink(),
            "val_annotations.txt is missing",
        ),
        (
            lambda root: (root / "val" / "images" / "val_1.JPEG").unlink(),
            "its test split lacks val/images/val_1.JPEG",
        ),
    ],
)
def test_load_names_damaged_files(tiny, damage, message):
    damage(tiny)
    with pytest.raises(UserError, match=message):
        datasets.load(TINY_IMAGENET, "test", tiny)
