"""The measurements of `ddbench gpu-check`."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.benchmark import Timer

from benchmark_adapters import environment
from benchmark_adapters.datasets import CIFAR100, FASHION_MNIST
from benchmark_adapters.scoring import students, training
from benchmark_adapters.scoring.backend_names import Backend
from benchmark_adapters.scoring.recipes import ECCV2024, ECCV2024_TF32
from benchmark_adapters.types import Task
from gdd_plugin.batching import is_out_of_memory
from gdd_plugin.decoders.exact import decoder_of, exact_decoder
from gdd_plugin.decoders.fidelity import psnr
from gdd_plugin.decoders.fitted.convolutional import ConvolutionalDecoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import Decoder, OutputSpec
from gdd_plugin.generator import ImageGenerator
from gdd_plugin.gpu_check import shapes
from gdd_plugin.gpu_check.report import Report
from gdd_plugin.models import compilation
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.settings import OPTIONS, parse_settings

BATCHES, COMPILED_BATCHES = (4, 8, 16, 32, 64), (16, 64)
# Images to decode at once, and in an epoch of scoring.
DECODED, SCORED = 16, 1000
# Seconds for which each measurement is repeated.
SECONDS = 1.0
OUTPUT = OutputSpec(32, 3)
KEYS = [(label, 0) for label in range(10)]
LAYOUTS = {torch.contiguous_format: "plain", torch.channels_last: "channels last"}
NO_GPU = "there is no CUDA GPU"


def seconds_of(function: Callable[[], object]) -> float:
    """Return the median seconds of a call. On a GPU, the work itself is awaited."""
    timer = Timer("function()", globals={"function": function})
    return float(timer.blocked_autorange(min_run_time=SECONDS).median)


def facts(device: str) -> dict[str, Any]:
    """Return facts about the device and the libraries."""
    found = {**environment.hardware(), **environment.versions(), "device": device}
    if device != "cuda":
        return found
    properties = torch.cuda.get_device_properties(0)
    return {
        **found,
        "gpu": properties.name,
        "gpu_memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
    }


@functools.cache
def _sampler(device: str) -> TurboSampler:
    """Return SDXL-Turbo with random weights on a CUDA GPU, else turbo-mini."""
    if device == "cuda":
        return TurboSampler.of(shapes.pipeline(device, torch.float16), device, size=512)
    return TurboSampler("turbo-mini", device)


def network(report: Report, device: str) -> None:
    """Measure the UNet at several batch sizes, eager and compiled."""
    sampler = _sampler(device)
    report.unet["model"] = "sdxl-turbo" if device == "cuda" else "turbo-mini"
    if device != "cuda":
        report.skipped["SDXL-Turbo's configuration, and its tiny decoder"] = NO_GPU
    rows = report.unet["rows"] = []
    for size in (512, 256) if device == "cuda" else (sampler.size,):
        sampler.size = size
        rows += _rates(sampler, "eager", BATCHES)
    start = time.monotonic()
    failure = compilation.compile_blocks(sampler.network, lambda: _call(sampler, BATCHES[-1])())
    if failure:
        report.skipped["compilation"] = failure
        return
    report.unet["compile_seconds"] = round(time.monotonic() - start, 1)
    for size in (512, 256) if device == "cuda" else (sampler.size,):
        sampler.size = size
        rows += _rates(sampler, "compiled", COMPILED_BATCHES)
    compilation.uncompile(sampler.network)


def _rates(sampler: TurboSampler, mode: str, batches: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        try:
            seconds = seconds_of(_call(sampler, batch))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return
        yield {
            "size": sampler.size,
            "batch": batch,
            "mode": mode,
            "ms": round(1000 * seconds, 2),
            "images_per_second": round(batch / seconds, 1),
        }


def _call(sampler: TurboSampler, batch: int) -> Callable[[], object]:
    """Return a call of the network for ``batch`` images."""
    side, dtype = sampler.size // sampler.pipe.vae_scale_factor, sampler.network.dtype
    latents = torch.randn(batch, sampler.channels, side, side, device=sampler.device).to(dtype)
    timestep = torch.full((1,), 999.0, device=sampler.device)
    prompts = ["a photo"] * batch
    if sampler.pipe.text_encoder is None:
        embedded = shapes.embeddings(batch, sampler.device, dtype)
    else:
        sampler.encode(prompts)
        embedded = sampler.embeddings.of(prompts)
    predict = torch.inference_mode()(sampler.backbone.predict)
    return lambda: predict(sampler.network, latents, timestep, embedded, sampler.size)


def decoders(report: Report, device: str) -> None:
    """Measure the decoders, and the fits of the fitted ones."""
    sampler = _sampler(device)
    for size in (512, 256) if sampler.device == "cuda" else (sampler.size,):
        side = size // sampler.pipe.vae_scale_factor
        latents = torch.randn(DECODED, sampler.channels, side, side, device=sampler.device)
        measured: list[tuple[str, Decoder, dict[str, Any]]] = [
            ("vae", exact_decoder(sampler.pipe, OUTPUT), {})
        ]
        for kind in (ConvolutionalDecoder, RidgeDecoder):
            measured.append(("fitted", *_fit(kind, latents, size)))
        if sampler.device == "cuda":
            tiny = shapes.tiny_autoencoder(sampler.device, sampler.network.dtype)
            measured.append(("tiny", decoder_of(tiny, OUTPUT), {}))
        for name, decode, facts in measured:
            seconds = seconds_of(functools.partial(decode, latents))
            milliseconds = round(1000 * seconds / DECODED, 4)
            row = {"decoder": name, "size": size, "ms_per_image": milliseconds}
            report.decoders.append(row | facts)


def _fit(
    kind: type[ConvolutionalDecoder] | type[RidgeDecoder], latents: torch.Tensor, size: int
) -> tuple[Decoder, dict[str, Any]]:
    """Fit a decoder to noise, for latents like ``latents``; return it, and facts for its row."""
    pixels = 255 * torch.rand(kind.samples, 3, OUTPUT.size, OUTPUT.size, device=latents.device)
    noise = torch.randn(kind.samples, *latents.shape[1:], device=latents.device)
    start = time.monotonic()
    decode = kind(noise, pixels, OUTPUT, size)
    # The images are awaited, and so is the fit.
    decode(latents).cpu()
    return decode, {"map": kind.map, "fit_seconds": round(time.monotonic() - start, 2)}


def repeatability(report: Report, device: str) -> None:
    """Make turbo-mini's images twice, and on the CPU; count how often a batch waits for a GPU."""
    made = _generator(device)
    first, again = (torch.as_tensor(made.generate(KEYS)[0]) for _ in range(2))
    report.repeatable["same_seed"] = bool(first.equal(again))
    if device == "cpu":
        report.skipped["images on a GPU against those on the CPU"] = NO_GPU
        report.skipped["host waits of a batch"] = NO_GPU
        return
    on_cpu = torch.as_tensor(_generator("cpu").generate(KEYS)[0])
    report.repeatable["psnr_to_cpu"] = round(psnr(first.float(), on_cpu.float()), 1)
    if device != "cuda":
        report.skipped["host waits of a batch"] = NO_GPU
        return
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            made.generate(KEYS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    report.repeatable["host_waits"] = sum("synchroniz" in str(wait.message) for wait in waits)


def _generator(device: str) -> ImageGenerator:
    defaults = {option.name: option.default for option in OPTIONS}
    options = {**defaults, "model": "turbo-mini", "preset": "sampled", "decoder": "vae"}

    def ignore(**values: object) -> None:
        """Ignore metadata, because there is no record."""

    def no_images() -> Any:
        raise AssertionError("sampling alone needs no real images")

    task = Task("gpu-check", FASHION_MNIST, 0, device, 1, options, no_images, ignore)
    return ImageGenerator(task, parse_settings(options, FASHION_MNIST.name), len(KEYS))


def scoring(report: Report, device: str) -> None:
    """Measure an epoch of the challenge's recipe, by the plain loop and in faster ways."""
    images = torch.randn(SCORED, 3, 32, 32)
    labels = torch.arange(SCORED) % CIFAR100.num_classes
    ways: list[tuple[bool, torch.memory_format | None, Backend]] = [(False, None, "reference")]
    if device == "cuda":
        ways.append((True, None, "reference"))
        for tf32 in (False, True):
            ways += [(tf32, layout, "fast") for layout in LAYOUTS]
    else:
        ways.append((False, None, "auto"))
        report.skipped["TF32 in both memory formats"] = NO_GPU
    for tf32, layout, backend in ways:
        report.scoring.append(_epoch(images, labels, device, tf32, layout, backend))


def _epoch(
    images: torch.Tensor,
    labels: torch.Tensor,
    device: str,
    tf32: bool,
    layout: torch.memory_format | None,
    backend: Backend,
) -> dict[str, Any]:
    """Measure one epoch; return its row."""
    recipe = ECCV2024_TF32 if tf32 else ECCV2024
    net = students.build("convnet3", CIFAR100.num_classes, 32, 3)
    chosen = training.plan_backend(net, len(images), recipe, device, backend)
    if layout:
        chosen.memory_format = layout

    def epoch() -> None:
        # The official evaluator's argument 0 is one epoch.
        training.train(net, images, labels, recipe, 0, device, epochs=0, backend=chosen)

    # The first epoch compiles.
    epoch()
    seconds = seconds_of(epoch)
    used = chosen.used if backend != "reference" else "reference"
    return {
        "precision": "tf32" if tf32 else "float32",
        "layout": LAYOUTS[layout] if layout else "as given",
        "backend": used,
        "seconds": round(seconds, 4),
    }
