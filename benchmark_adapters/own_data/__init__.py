"""Datasets of one's own: folders of pictures, named by their path instead of a plugin."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from benchmark_adapters.own_data import reference as references
from benchmark_adapters.own_data.reference import IMAGE_FOLDER as IMAGE_FOLDER
from benchmark_adapters.own_data.reference import is_reference as is_reference
from benchmark_adapters.own_data.reference import with_settings as with_settings
from benchmark_adapters.plugins import Plugins
from benchmark_adapters.types import Dataset, UserError
from leaderboard.text import plural

READ = "benchmark_adapters.own_data.decoded:read_split"
# Names a decoded folder in child processes, which therefore need not look at the pictures again.
DECODED = "decoded:"


def find(plugins: Plugins, name: str, taken: Collection[str] = ()) -> Dataset:
    """Return an installed dataset by its name, or the dataset in a folder.

    Args:
        plugins: the installed plugins.
        name: a name; or ``imagefolder:DIR``, ``hf:DIR`` or a path with a slash, optionally followed
            by ``?size=N&test=SPLIT``.
        taken: names that the dataset in a folder must not have, besides installed ones.

    Raises:
        UserError: there is no such dataset, or its pictures can't be used.
    """
    if is_reference(name):
        from benchmark_adapters.own_data import decoded

        reference = references.parse(name)
        own_name = reference.name([*plugins.datasets, *taken])
        found = _dataset(own_name, decoded.decoded(reference))
        return replace(found, reference=reference.without_path)
    try:
        return plugins.datasets.require(name)
    except UserError as error:
        hint = "or name a folder of your own: --dataset DIR/"
        if Path(name).is_dir():
            hint = f"did you mean the folder {name}/?"
        raise UserError(f"{error}; {hint}") from None


def find_for_job(plugins: Plugins, text: str) -> Dataset:
    """Return the dataset for which `reference_of` returned ``text``, in a child process.

    Raises:
        UserError: it is not there any more.
    """
    if not text.startswith(DECODED):
        return plugins.datasets.require(text)
    folder, _, name = text.removeprefix(DECODED).rpartition("?")
    return _dataset(name, Path(folder))


def reference_of(dataset: Dataset) -> str:
    """Return the text for which `find_for_job` returns ``dataset``."""
    return f"{DECODED}{dataset.folder}?{dataset.name}" if dataset.folder else dataset.name


def folder_of(text: str) -> Path | None:
    """Return the folder that `find_for_job` reads; None: the dataset is an installed one."""
    if not text.startswith(DECODED):
        return None
    return Path(text.removeprefix(DECODED).rpartition("?")[0])


def _dataset(name: str, folder: Path) -> Dataset:
    """Return the dataset that was decoded into ``folder``."""
    from benchmark_adapters.own_data import decoded

    description = decoded.describe(folder)
    return Dataset(
        name=name,
        class_names=description.class_names,
        image_size=description.image_size,
        channels=description.channels,
        mean=description.mean,
        std=description.std,
        read=READ,
        markers=(),
        get="",
        test_size=description.sizes["test"],
        prompts=description.prompts,
        folder=folder,
    )


def describe(dataset: Dataset) -> str:
    """Return one line about what was read from the folder of a dataset."""
    from benchmark_adapters.own_data import decoded

    assert dataset.folder
    found = decoded.describe(dataset.folder)
    side, channels = dataset.image_size, dataset.channels
    ignored = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.ignored.items()))
    return (
        f"{dataset.name}: {dataset.num_classes} classes, {side}x{side} pixels, {channels} "
        f"{plural(channels, 'channel')}, {found.sizes['train']:,} train and "
        f"{found.sizes['test']:,} test images, mean {_shown(dataset.mean)}, standard deviation "
        f"{_shown(dataset.std)}{ignored and f'; ignored files: {ignored}'}"
    )


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
