"""Options of generative-turbo, and the settings that follow from them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark_adapters.types import Option
from gdd_plugin.models.registry import BUNDLED, KNOWN
from gdd_plugin.prompts import check_style

DEFAULT_MODEL = "stabilityai/sdxl-turbo"
MODEL_OF_DATASET = {"fashion-mnist": "turbo-mini"}


@dataclass(frozen=True)
class Preset:
    """Values for options that are not given."""

    prompts: str
    pda: str


PRESETS = {
    "default": Preset(prompts="name", pda="default"),
    "published": Preset(prompts="bare", pda="published"),
}


@dataclass(frozen=True)
class Settings:
    """The method's options with every default decided.

    Attributes:
        copies: augmented copies of each sampled image.
        batch: images per forward pass; None: found by the method.
        size: of the model's images in pixels; None: the model's own.
        tiny: folder or hub id of the tiny decoder; None: the backbone's default.
        dtype: of the UNet; None: by the device.
    """

    model: str
    lora: str | None
    prompts: str
    pda: str
    copies: int
    batch: int | None
    size: int | None
    decoder: str
    tiny: str | None
    dtype: str | None
    compile: str


def parse_settings(options: Mapping[str, Any], dataset: str) -> Settings:
    """Return what ``options`` mean for ``dataset``; options that are given override the preset."""
    from gdd_plugin.pda import POLICIES  # imports torch

    preset = PRESETS[options["preset"]]
    policy = options["pda"] or preset.pda
    copies = POLICIES[policy].copies if options["copies"] is None else options["copies"]
    return Settings(
        model=options["model"] or MODEL_OF_DATASET.get(dataset, DEFAULT_MODEL),
        lora=options["lora"],
        prompts=options["prompts"] or preset.prompts,
        pda=policy,
        copies=copies if policy != "none" else 0,
        batch=options["batch"],
        size=options["size"],
        decoder=options["decoder"],
        tiny=options["tiny"],
        dtype=options["dtype"],
        compile=options["compile"],
    )


def _between(low: int, high: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"expected {low} to {high}")

    return check


MODEL_OPTIONS = (
    Option(
        "model",
        str,
        None,
        f"model folder, hub id, or {', '.join([*BUNDLED, *KNOWN])} "
        "(default: turbo-mini for fashion-mnist, sdxl-turbo elsewhere)",
    ),
    Option(
        "lora",
        str,
        None,
        "folder of a LoRA adapter for the model, as `ddbench-turbo adapt` and diffusers write it",
    ),
)
IMAGE_OPTIONS = (
    Option(
        "preset",
        str,
        "default",
        "published: the paper's prompts and PDA in one word",
        tuple(PRESETS),
    ),
    Option(
        "prompts",
        str,
        None,
        "name, photo, centered, diverse, bare, or a template with {name} (default: name)",
        check=check_style,
    ),
    Option(
        "pda",
        str,
        None,
        "augmentation after sampling (default: default)",
        ("default", "published", "none"),
    ),
    Option(
        "copies",
        int,
        None,
        "augmented copies of each sampled image "
        "(default: 1, with pda=published 4, with pda=none 0)",
        check=_between(0, 100),
    ),
)
COMPUTING_OPTIONS = (
    Option(
        "batch",
        int,
        None,
        "images per forward pass "
        "(default: up to 128 on a CPU, large models 4; elsewhere found by trying)",
        check=_between(1, 4096),
    ),
    Option(
        "size",
        int,
        None,
        "height and width of the model's images in pixels "
        "(default: the model's own, for SDXL-Turbo 512)",
        check=_between(8, 1024),
    ),
    Option(
        "decoder",
        str,
        "auto",
        "vae: exact; tiny: distilled; fitted: a map fitted during the run",
        ("auto", "vae", "tiny", "fitted"),
    ),
    Option(
        "tiny",
        str,
        None,
        "folder or hub id of the tiny decoder (default: madebyollin/taesdxl or taesd)",
    ),
    Option(
        "dtype",
        str,
        None,
        "of the UNet (default: float32 on a CPU, float16 elsewhere)",
        ("float32", "float16", "bfloat16"),
    ),
    Option(
        "compile",
        str,
        "auto",
        "torch.compile for the UNet "
        "(auto: on CUDA, where that takes less than a twentieth of the time)",
        ("auto", "yes", "no"),
    ),
)
OPTIONS = MODEL_OPTIONS + IMAGE_OPTIONS + COMPUTING_OPTIONS
