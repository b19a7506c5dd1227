"""The options of generative-turbo, and the settings derived from them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark_adapters.types import Option
from gdd_plugin.improvement.work import AUTO, Work, parse_count, parse_sweeps, parse_visits
from gdd_plugin.models.registry import BUNDLED, KNOWN
from gdd_plugin.prompts import check_style

DEFAULT_MODEL = "stabilityai/sdxl-turbo"
MODEL_OF_DATASET = {"fashion-mnist": "turbo-mini"}


@dataclass(frozen=True)
class Preset:
    """Defaults for options that are not given."""

    prompts: str
    pda: str
    select: str
    refine: str
    prefers_fresh: bool


PRESETS = {
    "default": Preset("name", "default", AUTO, AUTO, prefers_fresh=True),
    "sampled": Preset("name", "default", "none", "none", prefers_fresh=True),
    "published": Preset("bare", "published", "none", "none", prefers_fresh=False),
}


@dataclass(frozen=True)
class Settings:
    """The method's options with defaults filled in.

    Attributes:
        copies: augmented copies of each sampled image.
        prefers_fresh: whether to make no copies if the time suffices to sample every image.
        asks_for_copies: whether the user asked for copies.
        batch: images per forward pass; None: the method chooses.
        size: height and width of the model's images in pixels; None: the model's own size.
        tiny: folder or Hub ID of the tiny decoder; None: the backbone's default.
        work: the phases after sampling.
        dtype: data type of the network; None: depends on the device.
    """

    model: str
    lora: str | None
    steps: int
    prompts: str
    pda: str
    copies: int
    prefers_fresh: bool
    asks_for_copies: bool
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
    copies = copies if policy != "none" else 0
    is_default = options["pda"] is None and options["copies"] is None
    return Settings(
        model=options["model"] or MODEL_OF_DATASET.get(dataset, DEFAULT_MODEL),
        lora=options["lora"],
        steps=options["steps"],
        prompts=options["prompts"] or preset.prompts,
        pda=policy,
        copies=copies,
        prefers_fresh=preset.prefers_fresh and is_default,
        asks_for_copies=copies > 0 and not is_default,
        batch=options["batch"],
        size=options["size"],
        decoder=options["decoder"],
        tiny=options["tiny"],
        dtype=options["dtype"],
        compile=options["compile"],
        work=parse_work(options, preset),
    )


def parse_work(options: Mapping[str, Any], preset: Preset) -> Work:
    """Return the phases after sampling and their amounts of work."""
    visits, last = parse_visits(options["visits"])
    return Work(
        options["select"] or preset.select,
        options["refine"] or preset.refine,
        parse_count(options["pool"]),
        parse_sweeps(options["sweeps"]),
        visits,
        last,
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
        f"model folder, file .safetensors, Hugging Face Hub ID, or {', '.join([*BUNDLED, *KNOWN])} "
        "(default: turbo-mini for fashion-mnist, otherwise sdxl-turbo)",
    ),
    Option(
        "lora",
        str,
        None,
        "folder of a LoRA adapter for the model, saved by `ddbench-turbo adapt` or diffusers",
    ),
    Option(
        "steps",
        int,
        1,
        "steps from noise to an image",
        check=_between(1, 8),
    ),
)
IMAGE_OPTIONS = (
    Option(
        "preset",
        str,
        "default",
        "default: sets that teach most within the time limit; sampled: images as they are "
        "sampled; published: the paper's prompts and copies",
        tuple(PRESETS),
    ),
    Option(
        "prompts",
        str,
        None,
        "name, photo, centered, diverse, kind, kinds, bare, or a template that contains {name} and "
        "perhaps {kind}; several wordings take turns "
        "(default: name, or the prompts of the dataset; bare with preset=published)",
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
        "augmented copies of each sampled image (default: 4 with preset=published or "
        "pda=published, 0 with pda=none, otherwise 1; without the option pda, 0 if images are "
        "selected or refined, or if there is time to sample every image of a fixed IPC)",
        check=_between(0, 100),
    ),
)
IMPROVING_OPTIONS = (
    Option(
        "select",
        str,
        None,
        "choose the set from a larger pool of samples. none: no pool; kmeans: the samples nearest "
        "to the k-means centres of each class; regression: samples that lower the loss of a kernel "
        "ridge regression on real training images (default: regression where possible; none with "
        "preset=sampled or published)",
        ("none", "kmeans", "regression"),
    ),
    Option(
        "refine",
        str,
        None,
        "optimise the selected images on real training images: their pixels, or the latents from "
        "which the model makes them (default: pixels where possible; none with preset=sampled or "
        "published)",
        ("none", "pixels", "latents"),
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
        "times that select=regression goes through all images of the set (auto: until nothing "
        "changes or its time is over; at most 3 on the track quickstart)",
        check=parse_sweeps,
    ),
    Option(
        "visits",
        str,
        AUTO,
        "rounds of refinement, or LAST/N: plan N rounds and stop after LAST (auto: as many as the "
        "time allows; 6 on the track quickstart)",
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
        "vae: exact; tiny: distilled; fitted: fitted to the exact decoder during the run, "
        "a network in runs of over 10,000 images, else ridge regression "
        "(auto: vae; where the model's images are at least 4 times as large as the dataset's, "
        "fitted on CUDA, else tiny if it is on this machine, each if its PSNR is at least 30 dB)",
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
        "data type of the network (default: float32 on a CPU; on other devices float16, or "
        "bfloat16 for pipelines that are called as they are)",
        ("float32", "float16", "bfloat16"),
    ),
    Option(
        "compile",
        str,
        "auto",
        "compile the network's repeated blocks with torch.compile "
        "(auto: on CUDA, for 5,000 images or more per process, if at least 90 s are left)",
        ("auto", "yes", "no"),
    ),
)
OPTIONS = MODEL_OPTIONS + IMAGE_OPTIONS + IMPROVING_OPTIONS + COMPUTING_OPTIONS
