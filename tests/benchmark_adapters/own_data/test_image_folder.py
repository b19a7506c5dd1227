"""Datasets in folders with a folder of pictures for each class."""

import json
import os
import shutil

import numpy as np
import picture_folders
import pytest
from PIL import Image

from benchmark_adapters import datasets, own_data
from benchmark_adapters.types import UserError


def test_pictures_and_classes_are_those_of_the_folder(find, clothes_folder):
    dataset = find(clothes_folder)
    assert (dataset.name, dataset.class_names) == ("clothes", ("Bag", "Sneaker", "Trouser"))
    assert (dataset.image_size, dataset.channels, dataset.test_size) == (28, 1, 12)
    images, labels = datasets.load(dataset, "train")
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    expected = [picture for name in dataset.class_names for picture in _arrays(name, 4)]
    np.testing.assert_array_equal(images[:, 0], expected)
    assert dataset.mean == pytest.approx([images.mean() / 255], abs=1e-4)
    assert dataset.std == pytest.approx([images.std() / 255], abs=1e-4)


def _arrays(name, count):
    return [np.asarray(picture) for picture in picture_folders.pictures(name, count)]


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "PNG"])
def test_lossless_formats_give_the_same_pixels(find, tmp_path, suffix):
    as_png = find(picture_folders.write(tmp_path / "a"))
    other = find(picture_folders.write(tmp_path / "b", suffix=suffix))
    # WebP has no grey pictures.
    assert other.channels == (3 if suffix == "webp" else 1)
    pixels = datasets.load(other, "test")[0]
    assert (pixels == datasets.load(as_png, "test")[0]).all()


def test_jpeg_is_close(find, tmp_path):
    as_png = find(picture_folders.write(tmp_path / "a"))
    as_jpeg = find(picture_folders.write(tmp_path / "b", suffix="jpg"))
    first, second = (datasets.load(one, "test")[0].astype(int) for one in (as_png, as_jpeg))
    assert 0 < abs(first - second).mean() < 10


def _opaque(picture):
    return picture.convert("RGBA")


def _palette(picture):
    return picture.convert("P")


@pytest.mark.parametrize("change", [_opaque, _palette])
def test_other_modes_are_converted(find, tmp_path, change):
    folder = picture_folders.write(tmp_path / "a", change=change)
    pixels = datasets.load(find(folder), "test")[0]
    assert pixels.shape == (12, 3, 28, 28)
    assert (pixels[:, :1] == pixels).all()
    grey = datasets.load(find(picture_folders.write(tmp_path / "b")), "test")[0]
    assert (pixels[:, :1] == grey).all()


def test_photos_on_their_side_are_turned(find, tmp_path):
    folder = picture_folders.write(tmp_path / "a")
    file = folder / "test" / "Bag" / "0.png"
    picture = Image.open(file)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
    turned = datasets.load(find(folder), "test")[0]
    upright = datasets.load(find(picture_folders.write(tmp_path / "b")), "test")[0]
    assert (turned == upright).all()


def test_pictures_are_resized_with_antialiasing_and_cropped_to_the_middle(find, tmp_path):
    def wide(picture):
        # One-pixel stripes, whose mean is grey. Picking pixels would give black or white.
        stripes = np.zeros((64, 128), np.uint8)
        stripes[:, ::2] = 255
        stripes[:, :32] = stripes[:, -32:] = 0
        return Image.fromarray(stripes)

    dataset = find(f"{picture_folders.write(tmp_path / 'a', change=wide)}?size=16")
    pixels = datasets.load(dataset, "train")[0]
    assert pixels.shape == (12, 1, 16, 16)
    assert abs(pixels[:, :, :, 2:-2].astype(int) - 128).max() < 12


def test_classes_file_gives_order_and_prompts(find, clothes_folder):
    lines = ["Trouser\ta pair of blue jeans", "Bag\ta handbag", "Sneaker\ta running shoe", ""]
    # Some editors write a byte order mark.
    (clothes_folder / "classes.txt").write_text("\n".join(lines), "utf-8-sig")
    dataset = find(clothes_folder)
    assert dataset.class_names == ("Trouser", "Bag", "Sneaker")
    assert dataset.prompts == ("a pair of blue jeans", "a handbag", "a running shoe")
    assert (datasets.load(dataset, "train")[0][0, 0] == _arrays("Trouser", 1)[0]).all()
    (clothes_folder / "classes.txt").write_text("Sneaker\nBag\nTrouser\n")
    assert find(clothes_folder).class_names == ("Sneaker", "Bag", "Trouser")
    assert find(clothes_folder).prompts == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Bag\nSneaker\n", "Trouser: not listed, but with a class folder"),
        ("Bag\nSneaker\nTrouser\nHat\n", "Hat: listed, but without a class folder"),
        ("Bag\nBag\nSneaker\nTrouser\n", "Bag: listed twice"),
        ("Bag\ta bag\nSneaker\nTrouser\ttrousers\n", "class Sneaker has no prompt"),
    ],
)
def test_classes_file_must_match_the_folders(find, clothes_folder, text, message):
    (clothes_folder / "classes.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        find(clothes_folder)


def test_the_test_split_may_have_another_name_or_be_held_out(find, tmp_path):
    named = picture_folders.write(tmp_path / "named", splits=("train", "val"))
    with pytest.raises(UserError, match=r"no folder test \(there are: val\).*--test-split NAME"):
        find(named)
    assert find(f"{named}?test=val").test_size == 12
    shared = find(f"{named}?test=0.25")
    train, test = (datasets.load(shared, split) for split in ("train", "test"))
    assert np.bincount(train[1]).tolist() == [3, 3, 3]
    assert np.bincount(test[1]).tolist() == [1, 1, 1]
    together = np.concatenate([train[0], test[0]]).reshape(12, -1)
    assert len(np.unique(together, axis=0)) == 12
    (named / "train").rename(tmp_path / "flat")
    with pytest.raises(UserError, match=r"no folder train .*--test-split 0.2"):
        find(tmp_path / "flat")
    assert find(f"{tmp_path / 'flat'}?test=0.25").test_size == 3


def _empty(folder):
    for file in (folder / "train" / "Bag").iterdir():
        file.unlink()


def _one_class(folder):
    for split in ("train", "test"):
        for name in ("Bag", "Sneaker"):
            shutil.rmtree(folder / split / name)


def _damage(folder):
    for index in range(4):
        (folder / "train" / "Bag" / f"{index}.png").write_bytes(b"not a picture")


def _resize_one(folder):
    Image.new("L", (20, 30)).save(folder / "test" / "Bag" / "0.png")


def _rename_test_class(folder):
    (folder / "test" / "Bag").rename(folder / "test" / "Hat")


def _make_transparent(folder):
    Image.new("RGBA", (28, 28), (0, 0, 0, 99)).save(folder / "test" / "Bag" / "0.png")


def _deepen(folder):
    Image.fromarray(np.full((28, 28), 999, np.uint16)).save(folder / "test" / "Bag" / "0.png")


def _name_badly(folder):
    for split in ("train", "test"):
        (folder / split / "Bag").rename(folder / split / os.fsdecode(b"caf\xe9"))


def _disguise(folder):
    Image.new("L", (28, 28)).save(folder / "test" / "Bag" / "0.png", format="GIF")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_empty, r"train/Bag has no pictures; expected files named \.png"),
        (_one_class, "train has 1 class folder; a dataset needs"),
        (_damage, r"4 of 24 pictures can't be used: train/Bag/0.png: .*; and 1 more; replace"),
        (_resize_one, r"not square and of one size .*test/Bag/0.png has 20x30.*--image-size N"),
        (_rename_test_class, "classes in .*train and .*test differ: Bag, Hat; .*Bag is only in"),
        (_make_transparent, "1 of 12 pictures can't be used: test/Bag/0.png: it is transparent"),
        (_deepen, "test/Bag/0.png: image mode I;16, expected at most 8 bits"),
        (_disguise, "1 of 24 pictures can't be used: test/Bag/0.png: .*not PNG, JPEG, WebP or BMP"),
        (_name_badly, "caf.*is not UTF-8; rename the folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_a_line(find, clothes_folder, break_it, message):
    break_it(clothes_folder)
    with pytest.raises(UserError, match=message) as error:
        find(clothes_folder)
    assert "\n" not in str(error.value)


def test_pictures_are_decoded_once_until_they_change(find, clothes_folder, monkeypatch):
    first = find(clothes_folder)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *arguments: pytest.fail("a picture was opened"))
        assert find(clothes_folder) == first
    picture = clothes_folder / "train" / "Bag" / "0.png"
    Image.open(clothes_folder / "train" / "Bag" / "1.png").save(picture)
    os.utime(picture, (1, 1))
    second = find(clothes_folder)
    assert second.folder != first.folder
    images = datasets.load(second, "train")[0]
    assert (images[0] == images[1]).all()
    # A run may still use the first.
    assert datasets.load(first, "train")[0].any()
    os.utime(first.folder, (1, 1))
    (clothes_folder / "test" / "Bag" / "0.png").unlink()
    find(clothes_folder)
    assert not first.folder.exists()
    assert second.folder.exists()


def test_only_what_is_read_decides_whether_to_decode_again(find, clothes_folder, tmp_path):
    """Runs may be saved in the folder of the pictures; splits may be links."""
    (clothes_folder / "train").rename(tmp_path / "elsewhere")
    (clothes_folder / "train").symlink_to(tmp_path / "elsewhere")
    first = find(clothes_folder)
    (clothes_folder / "runs").mkdir()
    (clothes_folder / "runs" / "record.json").write_text("{}")
    assert find(clothes_folder) == first
    shutil.copy(tmp_path / "elsewhere" / "Bag" / "0.png", tmp_path / "elsewhere" / "Bag" / "9.png")
    assert len(datasets.load(find(clothes_folder), "train")[1]) == 13


def test_hidden_files_are_left_out_and_other_files_are_counted(find, clothes_folder):
    hidden = clothes_folder / "train" / "Bag" / ".checkpoints"
    hidden.mkdir()
    shutil.copy(clothes_folder / "train" / "Bag" / "0.png", hidden / "0.png")
    for name in ("a.gif", "b.gif", "c.heic"):
        (clothes_folder / "test" / "Bag" / name).touch()
    dataset = find(clothes_folder)
    assert len(datasets.load(dataset, "train")[1]) == 12
    assert own_data.describe(dataset).endswith("; ignored files: 2 .gif, 1 .heic")


def test_first_picture_of_phone_photos_counts(find, tmp_path):
    folder = picture_folders.write(tmp_path / "a", suffix="jpg")
    file = folder / "train" / "Bag" / "0.jpg"
    picture = Image.open(file)
    picture.load()
    picture.save(file, "MPO", save_all=True, append_images=[Image.new("L", (28, 28))])
    with Image.open(file) as saved:
        assert saved.format == "MPO"
    assert datasets.load(find(folder), "train")[0][0].any()


def test_damaged_cache_is_not_used(find, clothes_folder):
    dataset = find(clothes_folder)
    file = dataset.folder / "test.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged; delete the folder"):
        datasets.load(dataset, "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./nowhere", "nowhere is not a folder"),
        ("imagefolder:", "is not a folder"),
        ("{}?size=4", "image size 4: expected 8 to 1024"),
        ("{}?side=4", "unknown setting 'side'; known: size, test"),
        ("{}?test=../up", "test split '../up': expected the name of a split"),
        ("{}?test=1.5", "test split '1.5'"),
        ("hat", "unknown dataset 'hat'.*or name a folder of your own: --dataset DIR/"),
    ],
)
def test_wrong_references_are_refused(find, clothes_folder, text, message):
    with pytest.raises(UserError, match=message):
        find(text.format(clothes_folder))


def test_folder_named_like_an_installed_dataset_gets_another_name(find, tmp_path):
    dataset = find(picture_folders.write(tmp_path / "cifar10"))
    assert dataset.name == "cifar10-folder"


def test_run_score_check_data_and_rerun_take_a_folder(ddbench, clothes_folder, untrained_probe):
    here = ("--dataset", "clothes/", "--image-size", "16")
    shown = ddbench("data", "clothes/", "--image-size", "16").stdout
    assert "3 classes, 16x16 pixels, 1 channel, 12 train and 12 test images, mean 0." in shown
    assert "classes: Bag, Sneaker, Trouser" in shown
    command = ("run", "--method", "random-real", *here, "--ipc", "2", "--repeats", "1", "--json")
    done = ddbench(*command, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert "clothes: 3 classes" in done.stderr
    record = json.loads(done.stdout)
    assert (record["dataset"], record["ipc"], len(record["confusion"])) == ("clothes", 2, 3)
    assert record["comparable"] is False
    reasons = {reason["code"]: reason["text"] for reason in record["not_comparable_because"]}
    assert reasons["dataset"] == "dataset clothes instead of fashion-mnist"
    run = record["run_id"]
    # A record does not say where the folder is.
    assert str(clothes_folder.parent) not in done.stdout
    assert "did you mean the folder clothes/?" in ddbench("score", run).stderr
    assert record["metadata"]["dataset_reference"] == "imagefolder:DIR?size=16"
    again = ddbench("rerun", run, *here, "--device", "cpu")
    assert again.returncode == 0, again.stdout + again.stderr
    for command in ("rerun", "score"):
        other = ddbench(command, run, "--dataset", "fashion-mnist")
        assert "is on dataset clothes, not on fashion-mnist" in other.stderr
    done = ddbench("export", run, "--format", "mtt", "--output", "a", *here)
    assert done.returncode == 0, done.stderr
    assert "nothing to download" in ddbench("data", "clothes/", "--download").stderr
    assert "did you mean the folder clothes/?" in ddbench("data", "clothes").stderr
    done = ddbench("check", "a", "--format", "mtt", *here)
    assert (done.returncode, "6 images of clothes" in done.stdout) == (0, True), done.stderr
    team = ("--format", "mtt", "--track", "quickstart", "--name", "us", "--repeats", "1")
    scored = ddbench("score", "a", *team, *here, "--json")
    assert json.loads(scored.stdout)["accuracies"] == record["accuracies"]


def test_settings_of_folders_need_a_folder(ddbench):
    command = ("run", "--method", "random-real", "--image-size", "16")
    for more in ((), ("--dataset", "fashion-mnist")):
        done = ddbench(*command, *more)
        assert done.returncode == 2
        assert "--image-size needs a folder of pictures" in done.stderr
