"""The model card of a turbo-mini: ``README.md`` beside the weights, from ``training.json`` and ``scores.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark_adapters.types import UserError
from gdd_plugin.models import story
from gdd_plugin.training.evaluate import RECIPE
from gdd_plugin.training.journal import writing
from gdd_plugin.training.train import Settings

CARD = """# {title}

A one-step text-to-image model of {classes} classes: SDXL-Turbo's architecture (`StableDiffusionXLPipeline`) in {megabytes} MB.

- **Use**: one step, guidance 0; the prompt is a class name of {dataset} or a template around it ("a photo of a {example}"). Images are 32x32,
  the picture in a black border of {border} pixels.
- **Data**: {trained_on}; sha256 of the images and labels `{data}`. No other images, no other model's weights.
- **Made by**: `{command}`{other} in {minutes} minutes on {cores} cores ({cpu}); `training.json` has all settings, `log.csv` and
  `losses.svg` the losses. Of the student's losses, {losses}.
- **Limits**: it knows {classes} words, and has seen {seen} real images of them, which a distilled set knows nothing of. Fine patterns are smeared.
- **Licence**: {licence}.

## What it is worth

A student (`{student}`, width {width}, {steps} steps, shifts by up to 2 pixels) trained on {count} images of each class and tested on {split}, medians of
{seeds} seeds: **{generated} %** from images of this model, {real} % from real ones, a share of **{share} %**.

{table}

- Variety: the mean distance between two images of a class, in features of the student trained on real images, is {variety} % of the real ones'.
- Copies: at the 1st percentile, an image's nearest training image is {nearest_generated} grey levels away (root mean square); for unseen real
  images it is {nearest_real}.
- Speed: {milliseconds} ms per image for UNet and decoder, batches of {batch} on {threads} threads.
"""


def write(folder: Path, scores: Mapping[str, Any]) -> None:
    """Writes ``scores.json`` and ``README.md`` into ``folder``.

    Raises:
        UserError: ``training.json`` is missing or damaged, or a file can't be written.
    """
    text = render(folder, scores)
    with writing(folder):
        (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        (folder / "README.md").write_text(text)


def trained(folder: Path) -> dict[str, Any]:
    """What training wrote of the model in ``folder``.

    Raises:
        UserError: see `write`.
    """
    found = story(folder)
    if not {"settings", "trained_on", "images", "seconds", "hardware", "licence"} <= found.keys():
        raise UserError(
            f"{folder / 'training.json'} doesn't tell how the model was made; a model card is for what `ddbench-turbo train` has made"
        )
    return found


def render(folder: Path, scores: Mapping[str, Any]) -> str:
    """The card's text."""
    made = trained(folder)
    settings, per_class = made["settings"], scores["per_class_percent"]
    rows = [[name, found["generated"], found["real"]] for name, found in per_class.items()]
    return CARD.format(
        title=folder.resolve().name.replace("_", "-"),
        classes=len(per_class),
        example=list(per_class)[-2],
        table=tabulate(
            rows, ["class", "from generated, % right", "from real, % right"], tablefmt="github"
        ),
        dataset=settings["dataset"],
        border=made["border"],
        trained_on=made["trained_on"],
        data=settings["data_sha256"][:16],
        command=f"ddbench-turbo train --dataset {settings['dataset']} --seed {settings['seed']} --output DIR",
        other="" if _by_default(settings) else ", with other settings than the default ones,",
        losses=", ".join(
            f"{name} has weight {settings['student'][name]:g}"
            for name in ("matching", "adversarial", "distillation")
        ),
        minutes=round(sum(made["seconds"].values()) / 60),
        cores=made["hardware"]["cores"],
        cpu=made["hardware"]["cpu"],
        seen=f"{made['images']:,}",
        licence=made["licence"],
        megabytes=scores["megabytes"],
        split={"test": "all real test images", "held-out": "training images that it has not seen"}[
            scores["split"]
        ],
        seeds=scores["seeds"],
        generated=scores["accuracy_percent"]["generated"],
        real=scores["accuracy_percent"]["real"],
        share=round(100 * scores["share_of_real"], 1),
        variety=round(100 * scores["variety_share"], 1),
        nearest_generated=scores["nearest_real_1st_percentile"]["generated"],
        nearest_real=scores["nearest_real_1st_percentile"]["unseen_real"],
        milliseconds=scores["milliseconds_per_image"],
        batch=scores["batch"],
        student=RECIPE.student,
        width=RECIPE.width,
        steps=RECIPE.steps,
        count=scores["images_per_class"],
        threads=scores["threads"],
    )


def _by_default(settings: Mapping[str, Any]) -> bool:
    default = json.loads(json.dumps(asdict(Settings(settings["dataset"], seed=settings["seed"]))))
    return {key: settings[key] for key in default} == default
