"""List the pictures in a folder with a folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark_adapters.own_data.contents import MAX_NAMED, Contents, few
from benchmark_adapters.own_data.reference import Reference
from benchmark_adapters.pictures import SUFFIXES, Picture
from benchmark_adapters.types import Split, UserError, one_line
from leaderboard.text import plural

TRAIN, CLASSES = "train", "classes.txt"
# Characters of the ending of a file that is ignored.
MAX_SUFFIX = 20


def files(reference: Reference) -> list[Path]:
    """Return all files that `read` reads or counts.

    Raises:
        UserError: a split is missing.
    """
    root = reference.folder
    found = [file for folder in _split_folders(reference).values() for file in _visible(folder)]
    return [*found, *(file for file in [root / CLASSES] if file.is_file())]


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
    splits = {
        split: [
            picture
            for label, name in enumerate(names)
            for picture in _pictures(root, classes[name], label)
        ]
        for split, classes in found.items()
    }
    ignored = Counter(
        one_line(file.suffix or file.name, MAX_SUFFIX)
        for folder in folders.values()
        for file in _visible(folder)
        if not _is_picture(file)
    )
    return Contents(tuple(names), splits, prompts, ignored)


def _split_folders(reference: Reference) -> dict[Split, Path]:
    """Return the folder of each split; with a share, that of all images as ``train``."""
    root, test = reference.folder, reference.folder / reference.test
    train = root / TRAIN
    has_splits = train.is_dir() and bool(_class_folders(train))
    if reference.share is not None:
        return {"train": train if has_splits else root}
    advice = (
        "name the folder of the test images with --test-split NAME, or hold out a share of the "
        "images: --test-split 0.2"
    )
    if not has_splits:
        raise UserError(f"{root} has no folder {TRAIN} with a folder for each class; {advice}")
    if not test.is_dir():
        others = [name for name in _class_folders(root) if name != TRAIN]
        there = f" (there are: {', '.join(others[:MAX_NAMED])})" if others else ""
        raise UserError(f"{root} has no folder {reference.test}{there}; {advice}")
    return {"train": train, "test": test}


def _class_folders(folder: Path) -> dict[str, Path]:
    """Return the visible folders in a folder by name, sorted.

    Raises:
        UserError: a name is not UTF-8.
    """
    found = sorted(one for one in folder.iterdir() if one.is_dir() and not _is_hidden(one.name))
    for one in found:
        try:
            one.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"the name of {str(one)!r} is not UTF-8; rename the folder") from None
    return {one.name: one for one in found}


def _check_classes(names: list[str], others: list[str], train: Path, other: Path) -> None:
    if differing := sorted(set(names) ^ set(others)):
        only = train if differing[0] in names else other
        raise UserError(
            f"the classes in {train} and {other} differ: {few(differing)}; for example, "
            f"{differing[0]} is only in {only}"
        )


def _visible(folder: Path) -> Iterator[Path]:
    """Yield all files in a folder and the folders in it, sorted, unless something is hidden.

    Links are followed at the top, so that splits and classes may be links.
    """
    for entry in sorted(folder.iterdir()):
        inside = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        for file in inside:
            if file.is_file() and not any(map(_is_hidden, file.relative_to(folder).parts)):
                yield file


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _pictures(root: Path, folder: Path, label: int) -> Iterator[Picture]:
    """Yield the pictures in a class folder and the folders in it."""
    found = [file for file in _visible(folder) if _is_picture(file)]
    if not found:
        raise UserError(
            f"{folder} has no pictures; expected files named {', '.join(SUFFIXES)}, or remove the "
            "folder"
        )
    for file in found:
        yield Picture(str(file.relative_to(root)), label, file)


def _read_classes(file: Path, folders: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the class names in label order, and their prompts if the file has them.

    Each line is the name of a class folder, optionally with a tab and a prompt after it.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
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
                f"{file}: {few(of_classes)}: {problem}; write a line for each class folder: its "
                "name and, optionally, a tab and a prompt"
            )
    prompts = tuple(row[1].strip() if len(row) > 1 else "" for row in rows)
    if any(prompts) and not all(prompts):
        name = names[prompts.index("")]
        raise UserError(f"{file}: class {name} has no prompt; give a prompt to all classes or none")
    return names, prompts if all(prompts) else ()
