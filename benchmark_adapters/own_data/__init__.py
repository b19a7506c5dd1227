"""Datasets of one's own: folders of pictures, named by their path instead of a plugin."""

from __future__ import annotations

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


def find(plugins: Plugins, name: str, base: Path | None = None) -> Dataset:
    """Return an installed dataset by its name, or the dataset in a folder.

    Args:
        plugins: the installed plugins.
        name: a name; or ``imagefolder:DIR``, ``hf:DIR`` or a path with a slash, perhaps followed by
            ``?size=N&test=SPLIT``.
        base: folder that a relative path starts at; None: the working directory.

    Raises:
        UserError: there is no such dataset, or its pictures can't be used.
    """
    if name.startswith(DECODED):
        folder, _, own_name = name.removeprefix(DECODED).rpartition("?")
        return _dataset(own_name, Path(folder))
    if is_reference(name):
        from benchmark_adapters.own_data import decoded

        reference = references.parse(name, base)
        return _dataset(reference.name(plugins.datasets), decoded.decoded(reference))
    try:
        return plugins.datasets.require(name)
    except UserError as error:
        raise UserError(f"{error}; or name a folder of your own: {IMAGE_FOLDER}:DIR") from None


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
        reference=f"{DECODED}{folder}?{name}",
    )


def reference_of(dataset: Dataset) -> str:
    """Return the text for which `find` returns ``dataset``."""
    return dataset.reference or dataset.name


def describe(dataset: Dataset) -> str:
    """Return one line about what was read from the folder of a dataset."""
    from benchmark_adapters.own_data import decoded

    assert dataset.folder
    sizes = decoded.describe(dataset.folder).sizes
    side, channels = dataset.image_size, dataset.channels
    return (
        f"{dataset.name}: {dataset.num_classes} classes, {side}x{side} pixels, {channels} "
        f"{plural(channels, 'channel')}, {sizes['train']:,} train and {sizes['test']:,} test "
        f"images, mean {_shown(dataset.mean)}, standard deviation {_shown(dataset.std)}"
    )


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
