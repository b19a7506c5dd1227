"""Options that are shared by the commands of `ddbench-turbo`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmark_adapters import console, own_data
from benchmark_adapters.cli import options
from benchmark_adapters.execution import discovery
from benchmark_adapters.types import Dataset
from gdd_plugin.training.settings import LoraSettings, TurboMiniSettings

FOLDER = click.Path(path_type=Path, file_okay=False)
EXISTING_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
Settings = TypeVar("Settings", TurboMiniSettings, LoraSettings)
Command = Callable[..., None]

DATA = click.option("--data", type=EXISTING_FOLDER, help="Folder that contains the dataset.")
RUN_OPTIONS = (
    click.option(
        "--dataset",
        "name",
        metavar="DATASET",
        required=True,
        help="Name of a dataset; `ddbench list datasets` lists them all. Or "
        f"{options.DATASET_HELP}",
    ),
    options.IMAGE_SIZE,
    options.TEST_SPLIT,
    DATA,
    click.option(
        "--output",
        type=FOLDER,
        required=True,
        help="Output folder. Rerun the same command to continue an interrupted training.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Random seed of the training run.",
    ),
    click.option(
        "--held-out",
        type=click.IntRange(0),
        default=5000,
        show_default=True,
        help="Number of training images to hold out for model selection, the last ones of each "
        "class.",
    ),
    click.option(
        "--scale",
        type=click.FloatRange(0.001, 100),
        default=1.0,
        show_default=True,
        help="Factor by which the number of steps of every stage is multiplied.",
    ),
    click.option(
        "--save-every",
        type=click.IntRange(1),
        default=250,
        show_default=True,
        help="Steps between checkpoints.",
    ),
)
STUDENT_OPTIONS = (
    click.option(
        "--matching",
        type=click.FloatRange(0),
        help="Weight of the matching loss (energy distances).  [default: 1]",
    ),
    click.option(
        "--adversarial",
        type=click.FloatRange(0),
        help="Weight of the adversarial loss.  [default: 0 in train, 0.1 in adapt]",
    ),
    click.option(
        "--distillation",
        type=click.FloatRange(0),
        help="Weight of the distillation loss.  [default: 0.1 in adapt with a teacher, else 0]",
    ),
    click.option(
        "--lr",
        type=click.FloatRange(0, min_open=True),
        help="Peak learning rate of the student.  [default: 0.0005 in train, 0.001 in adapt]",
    ),
    click.option(
        "--classes",
        type=click.IntRange(1),
        help="Classes per training step of the student.  [default: 4]",
    ),
    click.option(
        "--generated",
        type=click.IntRange(2),
        help="Samples per class and step.  [default: 32]",
    ),
    click.option(
        "--real",
        type=click.IntRange(2),
        help="Real images per class and step.  [default: 64]",
    ),
)
STUDENT_FIELDS = (
    "matching",
    "adversarial",
    "distillation",
    "lr",
    "classes",
    "generated",
    "real",
)


@dataclass(frozen=True)
class TrainingOptions:
    """Values of the options that all training commands share.

    Attributes:
        dataset_text: the text that names the dataset.
        data: folder that contains the dataset; None: search the default locations.
        scale: factor for the number of steps of every stage.
        student: student settings that were set on the command line, by name.
    """

    dataset: Dataset
    dataset_text: str
    data: Path | None
    output: Path
    seed: int
    held_out: int
    scale: float
    save_every: int
    student: Mapping[str, Any]

    def apply(self, settings: Settings) -> Settings:
        """Return ``settings`` with the student settings replaced and the steps scaled."""
        student = replace(settings.student, **self.student)
        return replace(settings, student=student).scaled(self.scale)


def training_options(command: Command) -> Command:
    """Add the training options to ``command``, and pass their values as a `TrainingOptions`."""

    @functools.wraps(command)
    def parse(
        name: str,
        image_size: int | None,
        test_split: str | None,
        data: Path | None,
        output: Path,
        seed: int,
        held_out: int,
        scale: float,
        save_every: int,
        **others: Any,
    ) -> None:
        student = {field: others.pop(field) for field in STUDENT_FIELDS}
        given = {field: value for field, value in student.items() if value is not None}
        text = own_data.with_settings(name, image_size, test_split)
        dataset = find_dataset(text)
        parsed = TrainingOptions(
            dataset, text, data, output, seed, held_out, scale, save_every, given
        )
        command(parsed, **others)

    for option in reversed((*RUN_OPTIONS, *STUDENT_OPTIONS, console.DEBUG)):
        parse = option(parse)
    return parse


def find_dataset(text: str) -> Dataset:
    """Return the dataset that ``text`` names.

    Raises:
        UserError: there is no such dataset, or its pictures can't be used.
    """
    return own_data.find(discovery.installed(), text)
