"""The model card of a turbo-mini: ``README.md`` beside the weights, from ``training.json`` and ``scores.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmark_adapters.types import UserError

CARD = """# {title}

A one-step text-to-image model of {classes} classes: SDXL-Turbo's architecture (`StableDiffusionXLPipeline`) in {megabytes} MB.

- **Use**: one step, guidance 0; the prompt is a class name of {dataset} or a template around it ("a photo of a {example}"). Images are 32x32,
  the picture in a black border of {border} pixels.
- **Data**: {trained_on}; sha256 of the images and labels `{data}`. No other images, no other model's weights.
- **Made by**: `{command}` in {minutes} minutes on {cores} cores ({cpu}); `training.json` has all settings, `log.csv` and `losses.svg` the losses.
- **Limits**: it knows {classes} words, and has seen {seen} real images of them, which a distilled set knows nothing of. Fine patterns are smeared.
- **Licence**: {licence}.

## What it is worth

A student (`convnet3`, width 64, 400 steps, shifts by up to 2 pixels) trained on 600 images of each class and tested on {split}, medians of
{seeds} seeds: **{generated} %** from images of this model, {real} % from real ones, a share of **{share} %**.

{table}

- Variety: the mean distance between two images of a class, in features of the student trained on real images, is {variety} % of the real ones'.
- Copies: at the 1st percentile, an image's nearest training image is {nearest_generated} grey levels away (root mean square); for unseen real
  images it is {nearest_real}.
- Speed: {milliseconds} ms per image for UNet and decoder, batches of 64 on {threads} threads.
"""


def write(folder: Path, scores: Mapping[str, Any]) -> None:
    """Writes ``scores.json`` and ``README.md`` into ``folder``.

    Raises:
        UserError: ``training.json`` is missing or damaged, or a file can't be written.
    """
    try:
        (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        (folder / "README.md").write_text(render(folder))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"no model card for {folder}: {type(error).__name__} {error}") from None


def render(folder: Path) -> str:
    """The card's text."""
    story: dict[str, Any] = json.loads((folder / "training.json").read_text())
    scores: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    settings, per_class = story["settings"], scores["per_class_percent"]
    rows = [[name, found["generated"], found["real"]] for name, found in per_class.items()]
    return CARD.format(
        title=folder.resolve().name.replace("_", "-"),
        classes=len(per_class),
        example=list(per_class)[-2],
        table=tabulate(rows, ["class", "from generated, % right", "from real, % right"], tablefmt="github"),
        dataset=settings["dataset"],
        border=story["border"],
        trained_on=story["trained_on"],
        data=settings["data_sha256"][:16],
        command=f"ddbench-turbo train --dataset {settings['dataset']} --seed {settings['seed']} --output DIR",
        minutes=round(sum(story["seconds"].values()) / 60),
        cores=story["hardware"]["cores"],
        cpu=story["hardware"]["cpu"],
        seen=f"{story['images']:,}",
        licence=story["licence"],
        megabytes=scores["megabytes"],
        split={"test": "all real test images", "held-out": "training images that it has not seen"}[scores["split"]],
        seeds=scores["seeds"],
        generated=scores["accuracy_percent"]["generated"],
        real=scores["accuracy_percent"]["real"],
        share=round(100 * scores["share_of_real"], 1),
        variety=round(100 * scores["variety_share"], 1),
        nearest_generated=scores["nearest_real_1st_percentile"]["generated"],
        nearest_real=scores["nearest_real_1st_percentile"]["unseen_real"],
        milliseconds=scores["milliseconds_per_image"],
        threads=scores["threads"],
    )
