"""The command ``ddbench-turbo``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark_adapters import console
from benchmark_adapters.plugins import build

if TYPE_CHECKING:
    from benchmark_adapters.types import Dataset

EXISTING = click.Path(path_type=Path, file_okay=False, exists=True)
FOLDER = click.Path(path_type=Path, file_okay=False)


def main() -> None:
    """The command ``ddbench-turbo``."""
    console.run(commands)


@click.group()
def commands() -> None:
    """Trains one-step models for generative-turbo."""


def training_options(command: Any) -> Any:
    for option in reversed(
        [
            click.option(
                "--dataset", "name", required=True, help="A dataset of `ddbench list datasets`."
            ),
            click.option("--data", type=EXISTING, help="Folder that holds the dataset."),
            click.option(
                "--output",
                type=FOLDER,
                required=True,
                help="Folder to write; the same command continues what lies there.",
            ),
            click.option("--seed", type=int, default=0, show_default=True),
            click.option(
                "--held-out",
                type=click.IntRange(0),
                default=5000,
                show_default=True,
                help="Training images left for choices, the last of each class.",
            ),
            click.option(
                "--scale",
                type=click.FloatRange(0.001, 100),
                default=1.0,
                show_default=True,
                help="Multiplies all numbers of steps.",
            ),
            click.option(
                "--save-every",
                type=click.IntRange(1),
                default=250,
                show_default=True,
                help="Steps between two checkpoints.",
            ),
            click.option(
                "--matching",
                type=click.FloatRange(0),
                help="Weight of the energy distances.  [default: 1]",
            ),
            click.option(
                "--adversarial",
                type=click.FloatRange(0),
                help="Weight of the adversarial loss.  [default: 0 in train, .1 in adapt]",
            ),
            click.option(
                "--distillation",
                type=click.FloatRange(0),
                help="Weight of the distillation loss.  [default: .1 in adapt with a teacher, else 0]",
            ),
            click.option(
                "--lr",
                type=click.FloatRange(0, min_open=True),
                help="The student's highest learning rate.  [default: .0005; .001 in adapt]",
            ),
            click.option(
                "--classes",
                type=click.IntRange(1),
                help="Classes per step of the student.  [default: 4]",
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
            console.DEBUG,
        ]
    ):
        command = option(command)
    return command


@commands.command("train")
@training_options
@click.option("--keep-checkpoints", is_flag=True, help="Leave the checkpoints in place at the end.")
def train_command(
    name: str,
    data: Path | None,
    output: Path,
    seed: int,
    held_out: int,
    scale: float,
    save_every: int,
    keep_checkpoints: bool,
    **student: Any,
) -> None:
    """Train turbo-mini from random weights on a dataset of 28 or 32 px."""
    from gdd_plugin.training.train import Settings, train

    dataset = _dataset(name)
    settings = Settings(dataset=name, seed=seed, held_out=held_out)
    train(
        output,
        dataset,
        data,
        _scaled(_student(settings, student), scale),
        save_every,
        keep_checkpoints,
    )
    click.echo(
        f"{output} holds the model; measure it with: ddbench-turbo evaluate {output} --dataset {name}"
    )


@commands.command("adapt")
@training_options
@click.option(
    "--model", required=True, help="One-step model to adapt: a folder, a hub id or turbo-mini."
)
@click.option(
    "--teacher",
    help="Diffusion model of the same architecture, for the distillation loss: a folder or a hub id.",
)
@click.option(
    "--rank",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Rank of the LoRA matrices.",
)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time.")
def adapt_command(
    name: str,
    data: Path | None,
    output: Path,
    seed: int,
    held_out: int,
    scale: float,
    save_every: int,
    model: str,
    teacher: str | None,
    rank: int,
    gradient_checkpointing: bool,
    **student: Any,
) -> None:
    """Adapt a one-step model to a dataset by LoRA; use it with `ddbench run … --option model=MODEL --option lora=OUTPUT`."""
    from gdd_plugin.training.adapt import Settings, adapt

    dataset = _dataset(name)
    settings = Settings(
        dataset=name, model=model, teacher=teacher, seed=seed, held_out=held_out, rank=rank
    )
    if not teacher and student["distillation"] is None:
        student["distillation"] = 0.0
    adapt(
        output,
        dataset,
        data,
        _scaled(_student(settings, student), scale),
        save_every,
        gradient_checkpointing,
    )
    click.echo(
        f"{output} holds the adapter; use it with: ddbench run --method generative-turbo --option model={model} --option lora={output}"
    )


@commands.command("evaluate")
@click.argument("model")
@click.option("--lora", type=FOLDER, help="Folder of an adapter.")
@click.option("--dataset", "name", default="fashion-mnist", show_default=True)
@click.option("--data", type=EXISTING, help="Folder that holds the dataset.")
@click.option(
    "--split",
    type=click.Choice(["held-out", "test"]),
    default="held-out",
    show_default=True,
    help="Choose by held-out training images alone.",
)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)
@console.DEBUG
@click.option(
    "--card",
    is_flag=True,
    help="Also write scores.json and the model card, README.md, into the folder MODEL.",
)
def evaluate_command(
    model: str,
    lora: Path | None,
    name: str,
    data: Path | None,
    split: str,
    seeds: int,
    device: str,
    card: bool,
) -> None:
    """Measure a model, as JSON: what a student learns from 600 of its images per class beside 600 real ones; variety, copies, speed."""
    from gdd_plugin.models import locate
    from gdd_plugin.training import card as cards
    from gdd_plugin.training.evaluate import evaluate

    if card and lora:
        raise click.UsageError("a model card is of the model itself: give --card without --lora")
    if card:
        cards.trained(locate(model).folder)  # before the minutes that follow
    scores = evaluate(model, lora, _dataset(name), data, split, seeds, device)
    click.echo(json.dumps(scores, indent=1))
    if card:
        cards.write(locate(model).folder, scores)


def _dataset(name: str) -> Dataset:
    found: Dataset = build().get("datasets", name)
    return found


def _student(settings: Any, given: dict[str, Any]) -> Any:
    return replace(
        settings,
        student=replace(
            settings.student, **{key: value for key, value in given.items() if value is not None}
        ),
    )


def _scaled(settings: Any, scale: float) -> Any:
    """All numbers of steps times ``scale``."""
    stages = {name: stage for name, stage in vars(settings).items() if hasattr(stage, "steps")}
    return replace(
        settings,
        **{
            name: replace(stage, steps=max(4, round(stage.steps * scale)))
            for name, stage in stages.items()
        },
    )


if __name__ == "__main__":
    main()
