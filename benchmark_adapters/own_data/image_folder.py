"""List the pictures in a folder with a folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark_adapters.own_data.pictures import SUFFIXES, Picture
from benchmark_adapters.own_data.reference import Reference
from benchmark_adapters.types import Split, UserError
from leaderboard.text import plural

TRAIN, CLASSES = "train", "classes.txt"
# Classes that a message names.
MAX_NAMED = 3


@dataclass(frozen=True)
class Contents:
    """The pictures of a dataset, not yet decoded.

    Attributes:
        class_names: in label order.
        prompts: text for each class that a text-to-image model gets; empty: the class names.
        splits: the pictures of each split, or all of them as ``train`` if a share of them is to be
            held out.
    """

    class_names: tuple[str, ...]
    prompts: tuple[str, ...]
    splits: Mapping[Split, Sequence[Picture]]


def read(reference: Reference) -> Contents:
    """List the pictures of an image folder.

    Raises:
        UserError: a split is missing, there are fewer than two classes, a class has no pictures,
            the classes of the splits differ, or ``classes.txt`` contradicts the folders.
    """
    root = reference.folder
    folders = _split_folders(reference)
    found = {split: _class_folders(folder) for split, folder in folders.items()}
    names = sorted(found["train"])
    if len(names) < 2:
        raise UserError(
            f"{folders['train']} has {len(names)} class {plural(len(names), 'folder')}; a dataset "
            "needs a folder of pictures for each of at least two classes"
        )
    for split, classes in found.items():
        _check_classes(names, sorted(classes), folders["train"], folders[split])
    prompts: tuple[str, ...] = ()
    if (root / CLASSES).is_file():
        names, prompts = _read_classes(root / CLASSES, names)
    labels = {name: label for label, name in enumerate(names)}
    splits = {
        split: [
            picture for name in names for picture in _pictures(root, classes[name], labels[name])
        ]
        for split, classes in found.items()
    }
    return Contents(tuple(names), prompts, splits)


def _split_folders(reference: Reference) -> dict[Split, Path]:
    """Return the folder of each split; with a share, that of all images as ``train``."""
    root, test = reference.folder, reference.folder / reference.test
    train = root / TRAIN
    has_splits = train.is_dir() and bool(_subfolders(train))
    if reference.share is not None:
        return {"train": train if has_splits else root}
    advice = "name the folder of the test images with --test-split NAME, or hold out a share of "
    advice += "the images: --test-split 0.2"
    if not has_splits:
        raise UserError(f"{root} has no folder {TRAIN} with a folder for each class; {advice}")
    if not test.is_dir():
        others = [folder.name for folder in _subfolders(root) if folder != train]
        there = f" (there are: {', '.join(others[:MAX_NAMED])})" if others else ""
        raise UserError(f"{root} has no folder {reference.test}{there}; {advice}")
    return {"train": train, "test": test}


def _subfolders(folder: Path) -> list[Path]:
    found = (one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    return sorted(found)


def _class_folders(folder: Path) -> dict[str, Path]:
    return {one.name: one for one in _subfolders(folder)}


def _check_classes(names: list[str], others: list[str], train: Path, other: Path) -> None:
    if differing := sorted(set(names) ^ set(others)):
        only = train if differing[0] in names else other
        raise UserError(
            f"the classes in {train} and {other} differ: {_few(differing)}; for example, "
            f"{differing[0]} is only in {only}"
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"


def _pictures(root: Path, folder: Path, label: int) -> Iterator[Picture]:
    """Yield the pictures in a class folder and the folders in it."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise UserError(
            f"{folder} has no pictures; expected files named {', '.join(SUFFIXES)}, or remove the "
            "folder"
        )
    for file in files:
        yield Picture(str(file.relative_to(root)), label, file)


def _read_classes(file: Path, folders: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the class names in label order, and their prompts if the file has them.

    Each line is the name of a class folder, perhaps with a tab and a prompt after it.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} can't be read as UTF-8: {error}") from None
    rows = [line.split("\t") for line in lines if line.strip()]
    names = [row[0].strip() for row in rows]
    problems = {
        "listed twice": [name for name, count in Counter(names).items() if count > 1],
        "listed, but without a class folder": sorted(set(names) - set(folders)),
        "not listed, but with a class folder": sorted(set(folders) - set(names)),
    }
    for problem, of_classes in problems.items():
        if of_classes:
            raise UserError(
                f"{file}: {_few(of_classes)}: {problem}; write a line for each class folder: its "
                "name and, after a tab, perhaps a prompt"
            )
    prompts = tuple(row[1].strip() if len(row) > 1 else "" for row in rows)
    if any(prompts) and not all(prompts):
        name = names[prompts.index("")]
        raise UserError(f"{file}: class {name} has no prompt; give a prompt to all classes or none")
    return names, prompts if all(prompts) else ()
