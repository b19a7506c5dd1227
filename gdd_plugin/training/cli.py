"""The command line of ``ddbench-turbo``."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from benchmark_adapters import console
from benchmark_adapters.cli.options import DATASET_HELP, IMAGE_SIZE, TEST_SPLIT
from benchmark_adapters.own_data import with_settings
from gdd_plugin.training.cli_options import (
    DATA,
    FOLDER,
    TrainingOptions,
    find_dataset,
    training_options,
)
from gdd_plugin.training.settings import LoraSettings, TurboMiniSettings


def main() -> None:
    """Run the command line."""
    console.run(commands)


@click.group()
def commands() -> None:
    """Train one-step models for generative-turbo."""


@commands.command("train")
@training_options
@click.option(
    "--keep-checkpoints", is_flag=True, help="Keep the checkpoints when training is done."
)
def train_command(options: TrainingOptions, keep_checkpoints: bool) -> None:
    """Train turbo-mini from random weights on a dataset with 28x28 or 32x32 images."""
    from gdd_plugin.training.train_turbo_mini import train_turbo_mini

    name = options.dataset.name
    settings = TurboMiniSettings(dataset=name, seed=options.seed, held_out=options.held_out)
    train_turbo_mini(
        options.output,
        options.dataset,
        options.data,
        options.apply(settings),
        options.save_every,
        keep_checkpoints,
    )
    click.echo(
        f"saved the model to {options.output}; evaluate it with: "
        f"ddbench-turbo evaluate {options.output} --dataset {options.dataset_text}"
    )


@commands.command("adapt")
@training_options
@click.option(
    "--model",
    required=True,
    help="One-step model to adapt: a folder, a Hugging Face Hub ID or turbo-mini.",
)
@click.option(
    "--teacher",
    help="Diffusion model with the same architecture, for the distillation loss: "
    "a folder or a Hugging Face Hub ID.",
)
@click.option(
    "--rank",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Rank of the LoRA matrices.",
)
@click.option("--gradient-checkpointing", is_flag=True, help="Use less memory and more time.")
def adapt_command(
    options: TrainingOptions,
    model: str,
    teacher: str | None,
    rank: int,
    gradient_checkpointing: bool,
) -> None:
    """Adapt a one-step model to a dataset with LoRA.

    Use the adapter with `ddbench run … --option model=MODEL --option lora=OUTPUT`.
    """
    from gdd_plugin.training.train_lora import train_lora

    settings = LoraSettings(
        dataset=options.dataset.name,
        model=model,
        teacher=teacher,
        seed=options.seed,
        held_out=options.held_out,
        rank=rank,
    )
    if not teacher:
        settings = replace(settings, student=replace(settings.student, distillation=0.0))
    train_lora(
        options.output,
        options.dataset,
        options.data,
        options.apply(settings),
        options.save_every,
        gradient_checkpointing,
    )
    click.echo(
        f"saved the adapter to {options.output}; use it with: ddbench run "
        f"--method generative-turbo --option model={model} --option lora={options.output}"
    )


@commands.command("evaluate")
@click.argument("model")
@click.option("--lora", type=FOLDER, help="Folder of a LoRA adapter.")
@click.option(
    "--dataset",
    "name",
    default="fashion-mnist",
    show_default=True,
    help=f"Dataset whose classes the model generates; or {DATASET_HELP}",
)
@IMAGE_SIZE
@TEST_SPLIT
@DATA
@click.option(
    "--split",
    type=click.Choice(["held-out", "test"]),
    default="held-out",
    show_default=True,
    help="Real images to test on. Use held-out for model selection.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Number of students to train.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Device to evaluate on.",
)
@console.DEBUG
@click.option(
    "--card",
    is_flag=True,
    help="Also write scores.json and the model card, README.md, to the folder MODEL.",
)
def evaluate_command(
    model: str,
    lora: Path | None,
    name: str,
    image_size: int | None,
    test_split: str | None,
    data: Path | None,
    split: str,
    seeds: int,
    device: str,
    card: bool,
) -> None:
    """Evaluate a model and print the scores as JSON.

    Compares the accuracy of students trained on 600 generated images per class and on 600 real
    images per class. Also measures variety, distance to the training images, and speed.
    """
    from gdd_plugin.models.loading import locate
    from gdd_plugin.training import model_card
    from gdd_plugin.training.evaluate import evaluate

    if card and lora:
        raise click.UsageError(
            "a model card describes the model without adapters: use --card without --lora"
        )
    if card:
        # Fail before the evaluation, which takes minutes.
        model_card.read_metadata(locate(model).folder)
    dataset = find_dataset(with_settings(name, image_size, test_split))
    evaluation = evaluate(model, lora, dataset, data, split, seeds, device)
    click.echo(json.dumps(asdict(evaluation), indent=1))
    if card:
        model_card.write(locate(model).folder, evaluation)


if __name__ == "__main__":
    main()
