"""The options of generative-turbo, and the settings derived from them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark_adapters.types import Option
from gdd_plugin.improvement.work import AUTO, Work, parse_count, parse_visits
from gdd_plugin.models.registry import BUNDLED, KNOWN
from gdd_plugin.prompts import check_style

DEFAULT_MODEL = "stabilityai/sdxl-turbo"
MODEL_OF_DATASET = {"fashion-mnist": "turbo-mini"}


@dataclass(frozen=True)
class Preset:
    """Defaults for options that are not given."""

    prompts: str
    pda: str


PRESETS = {
    "default": Preset(prompts="name", pda="default"),
    "published": Preset(prompts="bare", pda="published"),
}


@dataclass(frozen=True)
class Settings:
    """The method's options with defaults filled in.

    Attributes:
        copies: augmented copies of each sampled image.
        batch: images per forward pass; None: the method chooses.
        size: height and width of the model's images in pixels; None: the model's own size.
        tiny: folder or Hub ID of the tiny decoder; None: the backbone's default.
        work: the phases after sampling.
        dtype: data type of the UNet; None: depends on the device.
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
    work: Work


def parse_settings(options: Mapping[str, Any], dataset: str) -> Settings:
    """Return the settings for ``dataset``. Explicit ``options`` override the preset."""
    # Imported here because it imports torch.
    from gdd_plugin.pda import POLICIES

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
        work=parse_work(options),
    )


def parse_work(options: Mapping[str, Any]) -> Work:
    """Return the amounts of work for the phases after sampling."""
    visits, last = parse_visits(options["visits"])
    pool, sweeps = parse_count(options["pool"]), parse_count(options["sweeps"])
    return Work(options["select"], options["refine"], pool, sweeps, visits, last)


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
        f"model folder, Hugging Face Hub ID, or {', '.join([*BUNDLED, *KNOWN])} "
        "(default: turbo-mini for fashion-mnist, otherwise sdxl-turbo)",
    ),
    Option(
        "lora",
        str,
        None,
        "folder of a LoRA adapter for the model, saved by `ddbench-turbo adapt` or diffusers",
    ),
)
IMAGE_OPTIONS = (
    Option(
        "preset",
        str,
        "default",
        "defaults for prompts and pda; published: those of the paper",
        tuple(PRESETS),
    ),
    Option(
        "prompts",
        str,
        None,
        "name, photo, centered, diverse, bare, or a template that contains {name} "
        "(default: name; bare with preset=published)",
        check=check_style,
    ),
    Option(
        "pda",
        str,
        None,
        "Post Data Augmentation of sampled images (default: the same as preset)",
        ("default", "published", "none"),
    ),
    Option(
        "copies",
        int,
        None,
        "augmented copies of each sampled image "
        "(default: 1; 4 with pda=published; 0 with pda=none)",
        check=_between(0, 100),
    ),
)
IMPROVING_OPTIONS = (
    Option(
        "select",
        str,
        "none",
        "how to choose the images from a larger pool: at random, by k-means, or by the loss of a "
        "kernel regression on real training images",
        ("none", "kmeans", "regression"),
    ),
    Option(
        "refine",
        str,
        "none",
        "pixels: optimise the images on real training images within the time limit",
        ("none", "pixels"),
    ),
    Option(
        "pool",
        str,
        AUTO,
        "images per class to choose from (auto: by the number of images per class)",
        check=parse_count,
    ),
    Option(
        "sweeps",
        str,
        AUTO,
        "sweeps of select=regression through the set (auto: as many as the time allows)",
        check=parse_count,
    ),
    Option(
        "visits",
        str,
        AUTO,
        "rounds of refine=pixels, or LAST/N to stop early (auto: as many as the time allows)",
        check=parse_visits,
    ),
)
COMPUTING_OPTIONS = (
    Option(
        "batch",
        int,
        None,
        "images per forward pass "
        "(default: up to 128 on a CPU, 4 for large models; found by trial on other devices)",
        check=_between(1, 4096),
    ),
    Option(
        "size",
        int,
        None,
        "height and width of the model's images in pixels "
        "(default: the model's own size, 512 for SDXL-Turbo)",
        check=_between(8, 1024),
    ),
    Option(
        "decoder",
        str,
        "auto",
        "vae: exact; tiny: distilled; fitted: fitted to the exact decoder during the run",
        ("auto", "vae", "tiny", "fitted"),
    ),
    Option(
        "tiny",
        str,
        None,
        "folder or Hugging Face Hub ID of the tiny decoder "
        "(default: madebyollin/taesdxl or madebyollin/taesd)",
    ),
    Option(
        "dtype",
        str,
        None,
        "data type of the UNet (default: float32 on a CPU, float16 on other devices)",
        ("float32", "float16", "bfloat16"),
    ),
    Option(
        "compile",
        str,
        "auto",
        "compile the UNet with torch.compile "
        "(auto: on CUDA with --ipc max, if it takes less than a twentieth of the remaining time)",
        ("auto", "yes", "no"),
    ),
)
OPTIONS = MODEL_OPTIONS + IMAGE_OPTIONS + IMPROVING_OPTIONS + COMPUTING_OPTIONS
