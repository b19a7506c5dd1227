"""Formats of normalised tensors in files of ``torch.save``: those of the ECCV 2024 challenge, DC-BENCH, MTT and DD-Ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.formats import files
from benchmark_adapters.types import Dataset, DistilledSet, Normalisation, UserError

if TYPE_CHECKING:
    import torch

    from benchmark_adapters.types import Array

NEAR_A_BYTE = 0.01  # how far a pixel in 0..255 may be from a whole number and still be one; rounding in float32 leaves .0002
Sets = Mapping[str, tuple[Dataset, DistilledSet]]  # by dataset name


def restored(
    images: torch.Tensor,
    labels: torch.Tensor,
    dataset: Dataset,
    normalisation: Normalisation,
    path: Path,
) -> DistilledSet:
    """A set from normalised images, class-major: uint8 where every pixel is a byte's, else float32 as it is."""
    import numpy as np
    import torch

    shape = (dataset.channels, dataset.image_size, dataset.image_size)
    if (
        images.dtype != torch.float32
        or tuple(images.shape[1:]) != shape
        or images.ndim != 4
        or not len(images)
    ):
        kind = str(images.dtype).removeprefix("torch.")
        raise UserError(
            f"{path}: images are {kind} {list(images.shape)}, expected float32 [N, {', '.join(map(str, shape))}]"
        )
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.shape != (len(images),):
        kind = str(labels.dtype).removeprefix("torch.")
        raise UserError(
            f"{path}: labels are {kind} {list(labels.shape)}, expected integers [{len(images)}]"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < dataset.num_classes:
        raise UserError(
            f"{path}: labels from {int(labels.min())} to {int(labels.max())}, expected 0 to {dataset.num_classes - 1}"
        )
    order = labels.argsort(stable=True)
    images, labels = images[order].contiguous(), labels[order].long()
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in normalisation)
    pixels = (images * std + mean) * 255
    whole = pixels.round()
    generated = np.ones(len(labels), bool)
    provenance = {"file": path.name}
    if ((pixels - whole).abs() < NEAR_A_BYTE).all() and whole.min() >= 0 and whole.max() <= 255:
        return DistilledSet(
            whole.byte().numpy(), labels.numpy(), dataset.class_names, generated, provenance
        )
    return DistilledSet(
        images.numpy(), labels.numpy(), dataset.class_names, generated, provenance, normalisation
    )


def _floats(distilled: DistilledSet, normalisation: Normalisation) -> torch.Tensor:
    from benchmark_adapters.scoring.images import images_of

    return images_of(distilled, normalisation)[:]


def _own(dataset: Dataset) -> Normalisation:
    return dataset.mean, dataset.std


def _one(path: Path, found: list[Path], expected: str) -> Path:
    if len(found) != 1:
        raise UserError(f"{path}: {'no' if not found else 'more than one'} {expected}")
    return found[0]


# ECCV 2024: a bare tensor, labels by position


def find_eccv2024(path: Path, dataset: Dataset) -> list[Path]:
    file = path if path.is_file() else path / f"{_short(dataset)}.pt"
    return [file] if file.is_file() else []


def read_eccv2024(path: Path, dataset: Dataset) -> DistilledSet:
    import torch

    file = _one(path, find_eccv2024(path, dataset), f"{_short(dataset)}.pt")
    images = files.tensor(files.load(file), file, "the file")
    if images.ndim < 1 or not len(images) or len(images) % dataset.num_classes:
        raise UserError(
            f"{file}: {list(images.shape)} images can't be divided among {dataset.num_classes} classes by their position"
        )
    labels = torch.arange(dataset.num_classes).repeat_interleave(len(images) // dataset.num_classes)
    return restored(images, labels, dataset, _own(dataset), file)


def write_eccv2024(sets: Sets, folder: Path) -> None:
    import torch

    for dataset, distilled in sets.values():
        torch.save(_floats(distilled, _own(dataset)), folder / f"{_short(dataset)}.pt")


def write_truth(tests: Mapping[str, tuple[Dataset, tuple[Array, Array]]], folder: Path) -> None:
    """The evaluator's real test images, ``NAME_test.pt``."""
    import torch

    from benchmark_adapters.scoring.images import normalise

    for dataset, (images, labels) in tests.values():
        truth = {"images_val": normalise(images, dataset), "labels_val": torch.tensor(labels)}
        torch.save(truth, folder / f"{_short(dataset)}_test.pt")


def _short(dataset: Dataset) -> str:
    return dataset.name.replace("-", "")


# DC-BENCH: {"data": [[images, labels], ...]}, the last pair counts


def find_dcbench(path: Path, dataset: Dataset) -> list[Path]:
    return (
        [path]
        if path.is_file()
        else sorted(
            file
            for file in path.glob("res_*_ConvNet_*ipc.pt")
            if f"_{_short(dataset)}_" in file.name.lower()
        )
    )


def read_dcbench(path: Path, dataset: Dataset) -> DistilledSet:
    file = _one(
        path, find_dcbench(path, dataset), f"res_METHOD_{_capital(dataset)}_ConvNet_Nipc.pt"
    )
    content = files.load(file)
    pairs = content.get("data") if isinstance(content, dict) else None
    if (
        not isinstance(pairs, list)
        or not pairs
        or not isinstance(pairs[-1], list | tuple)
        or len(pairs[-1]) != 2
    ):
        raise UserError(f"{file}: expected {{'data': [[images, labels], ...]}}")
    images, labels = (
        files.tensor(part, file, what)
        for part, what in zip(pairs[-1], ("images", "labels"), strict=True)
    )
    return restored(images, labels, dataset, _own(dataset), file)


def write_dcbench(sets: Sets, folder: Path) -> None:
    import torch

    for dataset, distilled in sets.values():
        method = (
            "".join(
                c
                for c in str(distilled.provenance.get("method", "set"))
                if c.isalnum() or c in ".-"
            )
            or "set"
        )
        pair = [_floats(distilled, _own(dataset)), torch.tensor(distilled.labels)]
        torch.save(
            {"data": [pair]},
            folder / f"res_{method}_{_capital(dataset)}_ConvNet_{distilled.ipc}ipc.pt",
        )


def _capital(dataset: Dataset) -> str:
    """The dataset's name in DC-BENCH's file names."""
    names = {
        "fashion-mnist": "FashionMNIST",
        "cifar10": "CIFAR10",
        "cifar100": "CIFAR100",
        "tiny-imagenet": "TinyImageNet",
    }
    return names.get(dataset.name, _short(dataset))


# MTT and DD-Ranking: two files


@dataclass(frozen=True)
class Pair:
    """A format of one file for the images and one for the labels, with methods as `Format` wants them."""

    images: str
    labels: str
    normalisation: Callable[[Dataset], Normalisation]

    def find(self, path: Path, dataset: Dataset) -> list[Path]:
        for place in (path / dataset.name, path):
            if (place / self.images).is_file() and (place / self.labels).is_file():
                return [place / self.images, place / self.labels]
        return []

    def read(self, path: Path, dataset: Dataset) -> DistilledSet:
        found = self.find(path, dataset)
        if not found:
            raise UserError(f"{path}: no {self.images} and {self.labels}")
        files.bounded(found)
        images, labels = (files.tensor(files.load(file), file, "the file") for file in found)
        return restored(images, labels, dataset, self.normalisation(dataset), found[0])

    def write(self, sets: Sets, folder: Path) -> None:
        import torch

        for dataset, distilled in sets.values():
            place = folder if len(sets) == 1 else folder / dataset.name
            place.mkdir(exist_ok=True)
            torch.save(_floats(distilled, self.normalisation(dataset)), place / self.images)
            torch.save(torch.tensor(distilled.labels), place / self.labels)


def _as_ddranking(dataset: Dataset) -> Normalisation:
    """DD-Ranking normalises CIFAR-100 by CIFAR-10's numbers."""
    return _own(CIFAR10) if dataset.name == "cifar100" else _own(dataset)


MTT = Pair("images_best.pt", "labels_best.pt", _own)
DDRANKING = Pair("images.pt", "labels.pt", _as_ddranking)
