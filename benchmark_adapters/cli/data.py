"""``ddbench data``: show which real datasets are available, and download them."""

from __future__ import annotations

from pathlib import Path

import click

from benchmark_adapters import console, own_data
from benchmark_adapters.cli import options, output
from benchmark_adapters.types import Dataset, UserError, one_line
from leaderboard.text import plural


@click.command("data")
@click.argument("name", required=False, metavar="[DATASET]")
@options.DATA
@options.IMAGE_SIZE
@options.TEST_SPLIT
@click.option(
    "--download",
    is_flag=True,
    help="Download DATASET with torchvision into --data or, by default, the user's data folder.",
)
@console.DEBUG
def data_command(
    name: str | None,
    data: Path | None,
    image_size: int | None,
    test_split: str | None,
    download: bool,
) -> None:
    """Show which real datasets are available, or download one.

    For each dataset, print its folder and the SHA-256 of its test images, or how to get it.
    DATASET may be a folder of your own: a path, imagefolder:DIR or hf:DIR. Its classes, mean and
    deviation are printed too.

    Exit codes: 0 on success, 1 if DATASET is not available, 2 for wrong usage or a failed
    download.
    """
    from benchmark_adapters import datasets

    plugins = output.installed_plugins()
    name = options.dataset(name, image_size, test_split)
    chosen = [own_data.find(plugins, name)] if name else list(plugins.datasets.usable())
    if download:
        if name is None:
            raise UserError("name the dataset: ddbench data DATASET --download")
        click.echo(f"downloaded to {datasets.download(chosen[0], data)}")
    available = [_show(dataset, data) for dataset in chosen]
    if name and not all(available):
        raise click.exceptions.Exit(1)


def _show(dataset: Dataset, data: Path | None) -> bool:
    """Print the state of one dataset and return whether its files are available."""
    from benchmark_adapters import datasets

    if dataset.bundled:
        test = datasets.load(dataset, "test", bundled=True)
        size = _test_images(len(test[0]))
        click.echo(f"{dataset.name}: {size} bundled, sha256 {datasets.digest(*test)}")
    if dataset.folder:
        _show_own(dataset)
        return True
    try:
        folder = datasets.find(dataset, data)
        test = datasets.load(dataset, "test", data)
    except UserError as error:
        click.echo(f"{dataset.name}: {error}")
        return False
    size = _test_images(len(test[0]))
    click.echo(f"{dataset.name}: found in {folder}, {size}, sha256 {datasets.digest(*test)}")
    for text in (
        datasets.overlooked(dataset, data, folder),
        datasets.lacking(dataset, folder, "train"),
    ):
        if text:
            click.echo(f"warning: {one_line(text)}", err=True)
    return True


def _show_own(dataset: Dataset) -> None:
    """Print what was read from a folder of the user's own."""
    from benchmark_adapters import datasets

    test = datasets.load(dataset, "test")
    click.echo(own_data.describe(dataset))
    click.echo(f"classes: {', '.join(dataset.class_names)}")
    click.echo(f"decoded in {dataset.folder}, sha256 of the test images {datasets.digest(*test)}")


def _test_images(count: int) -> str:
    return f"{count:,} test {plural(count, 'image')}"
