"""Latents to images of the dataset's size: by the model's own decoder, a tiny one, or a map that is fitted to it during the run."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark_adapters.types import UserError, one_line

Decoder = Callable[
    [Tensor], Tensor
]  # latents [n, c, h, w] to pixels in [0, 255], float [n, channels, size, size]
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL converts colour to grey
CHUNK = 16  # images: larger ones have crashed on GPUs, and leave a processor's cache
TINY = {
    "StableDiffusionXLPipeline": "madebyollin/taesdxl",
    "StableDiffusionPipeline": "madebyollin/taesd",
}
FITTED_ON, HELD_OUT = 32, 16  # images
GOOD = 30.0  # dB: a root mean square error of 8 of 255 levels
WORTH = 0.2  # of a run's time: what the exact decoder may take, and what fitting may take
LONG = 1.0  # seconds
NEIGHBOURS = 3
HIDDEN = 256
RIDGE = 1e-3


@dataclass(frozen=True)
class Target:
    """The images wanted: ``size`` pixels square, 1 or 3 ``channels``; ``border`` pixels of the model's images are cropped before."""

    size: int
    channels: int
    border: int = 0


@dataclass(frozen=True)
class Choice:
    """A decoder, and what a record says of it: ``decoder``, ``decoder_because``; where it isn't exact ``decoder_psnr``, where it is tiny its model."""

    decoder: Decoder
    facts: dict[str, Any]


def _chunk(latents: Tensor) -> int:
    """Images that are decoded at once: `CHUNK` of 512 pixels, fewer of larger ones."""
    return max(1, min(CHUNK, CHUNK * 64**2 // (latents.shape[-2] * latents.shape[-1])))


def to_uint8(images: Tensor) -> Tensor:
    """Float images around [0, 255] of any shape, rounded."""
    return images.round().clamp(0, 255).to(torch.uint8)


def to_size(images: Tensor, size: int, channels: int) -> Tensor:
    """Float [n, 3, h, w] to [n, channels, size, size]: grey by ITU-R BT.601, then `resized`."""
    return resized(
        (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        if channels == 1
        else images,
        size,
    )


def resized(images: Tensor, size: int) -> Tensor:
    """Float [n, c, h, w] to [n, c, size, size], antialiased bicubic where the size differs."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)


def exact(pipe: Any, target: Target) -> Decoder:
    """The pipeline's own decoder."""
    return _decoded(pipe.vae, target)


def tiny(pipe: Any, target: Target, model: str | None = None) -> tuple[Decoder, dict[str, str]]:
    """A distilled decoder (diffusers' `AutoencoderTiny`), and facts for a record: ``model`` is a folder or hub id, by default TAESDXL or TAESD.

    Raises:
        UserError: it is not here, or not for these latents.
    """
    from diffusers import AutoencoderTiny

    name = model or TINY[type(pipe).__name__]
    try:
        found = (
            AutoencoderTiny.from_pretrained(name, dtype=pipe.unet.dtype).to(pipe.unet.device).eval()
        )
    except Exception as error:  # no network, a damaged file: the libraries raise many kinds
        raise UserError(
            f"the tiny decoder {name} can't be loaded ({one_line(error, 150)}); give its folder with --option tiny=DIR"
        ) from None
    if found.config.latent_channels != pipe.unet.config.in_channels:
        raise UserError(
            f"the tiny decoder {name} is for {found.config.latent_channels} latent channels, the model has {pipe.unet.config.in_channels}"
        )
    digest = hashlib.sha256()
    for weights in found.state_dict().values():
        digest.update(weights.float().cpu().numpy().tobytes())
    return _decoded(found, target), {
        "decoder_model": Path(name).name if Path(name).exists() else name,
        "decoder_sha256": digest.hexdigest(),
    }


def _decoded(autoencoder: Any, target: Target) -> Decoder:
    config = autoencoder.config
    mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))

    @torch.inference_mode()
    def decode(latents: Tensor) -> Tensor:
        found = []
        for chunk in latents.split(_chunk(latents)):
            z = chunk / config.scaling_factor
            if mean and std:
                z = z * z.new_tensor(std).view(1, -1, 1, 1) + z.new_tensor(mean).view(1, -1, 1, 1)
            pixels = autoencoder.decode(z.to(autoencoder.dtype)).sample
            edge = target.border
            inside = pixels[
                ..., edge : pixels.shape[-2] - edge, edge : pixels.shape[-1] - edge
            ].float()
            found.append(
                to_size((inside * 127.5 + 127.5).clamp(0, 255), target.size, target.channels)
            )
        return torch.cat(found)

    return decode


class Map:
    """A map from latents straight to pixels of the target's size: ridge regression on the neighbourhood of each place.

    The latents are brought to the target's size (several to a pixel become channels, several pixels to a latent outputs); features
    of a place are its 3x3 neighbourhood and ``HIDDEN`` random rectified combinations of it (Rahimi & Recht 2008), the same in every run.
    """

    def __init__(self, latents: Tensor, pixels: Tensor, shape: Target, image_size: int) -> None:
        """Fits to ``latents`` [n, c, h, h] and the exact ``pixels`` [n, C, s, s] in [0, 255] of images of ``image_size`` pixels."""
        self.size = shape.size
        self.edge = round(shape.border * shape.size / (image_size - 2 * shape.border))
        side, whole = latents.shape[-1], shape.size + 2 * self.edge
        self.several = math.ceil(side / whole)  # latents to a pixel
        self.block = math.ceil(whole / side)  # pixels to a latent
        self.grid = min(side, whole)
        source = torch.Generator().manual_seed(0)
        width = latents.shape[1] * self.several**2
        self.scale = latents.float().std()
        random = (
            torch.randn(HIDDEN, width, NEIGHBOURS, NEIGHBOURS, generator=source)
            / (width * NEIGHBOURS**2) ** 0.5
        )
        self.random, self.bias = (
            random.to(latents.device),
            torch.randn(HIDDEN, generator=source).to(latents.device),
        )
        # Double precision on the CPU: some devices have none.
        features = self._features(latents).movedim(1, -1).flatten(0, -2).cpu().double()
        wanted = F.pad(pixels / 127.5 - 1, [self.edge] * 4, mode="replicate")
        wanted = F.pixel_unshuffle(resized(wanted, self.grid * self.block), self.block)
        gram = features.T @ features
        gram.diagonal().add_(RIDGE * len(features))
        solution = torch.linalg.solve(
            gram, features.T @ wanted.movedim(1, -1).flatten(0, -2).cpu().double()
        )
        self.weight = solution.T.float()[..., None, None].to(latents.device)

    @torch.inference_mode()
    def __call__(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, h] to pixels in [0, 255], float [n, channels, size, size]."""
        found = F.pixel_shuffle(F.conv2d(self._features(latents), self.weight), self.block)
        found = resized(found, self.size + 2 * self.edge)
        inside = slice(self.edge, self.edge + self.size)
        return ((found[..., inside, inside] + 1) * 127.5).clamp(0, 255)

    def _features(self, latents: Tensor) -> Tensor:
        """[n, features, grid, grid]."""
        x = latents.float() / self.scale
        side = self.grid * self.several
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        x = F.pad(F.pixel_unshuffle(x, self.several), [NEIGHBOURS // 2] * 4, mode="replicate")
        hidden = F.relu(F.conv2d(x, self.random, self.bias))
        linear = F.unfold(x, NEIGHBOURS).unflatten(-1, hidden.shape[-2:])
        return torch.cat([linear, hidden, torch.ones_like(hidden[:, :1])], 1)


def psnr(made: Tensor, exact: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 255]: 10 log10(255^2 / mean squared error)."""
    return 10 * math.log10(255**2 / max((made - exact).square().mean().item(), 1e-9))


@torch.inference_mode()
def fitted(
    decode: Decoder, target: Target, image_size: int, draw: Callable[[int], Tensor]
) -> tuple[Map, float]:
    """A `Map` fitted to ``decode`` on `FITTED_ON` samples, and its PSNR on `HELD_OUT` others."""
    latents = draw(FITTED_ON + HELD_OUT)
    pixels = decode(latents)
    found = Map(latents[:FITTED_ON], pixels[:FITTED_ON], target, image_size)
    return found, psnr(found(latents[FITTED_ON:]), pixels[FITTED_ON:])


@dataclass(frozen=True)
class Situation:
    """What `choose` decides by.

    Attributes:
        draw: ``n -> latents`` of n samples of the run's prompts.
        images: samples that the run wants; None: as many as fit.
        remaining: seconds that are left.
        tiny: folder or hub id of the tiny decoder; None: the usual one.
    """

    pipe: Any
    target: Target
    image_size: int
    draw: Callable[[int], Tensor]
    images: int | None
    remaining: float
    tiny: str | None = None


@torch.inference_mode()
def choose(wanted: str, at: Situation) -> Choice:
    """The decoder called ``wanted``: vae, tiny, fitted, or auto for the one that suits the run.

    ``fitted`` falls back to the exact one where its error is large.

    Raises:
        UserError: ``tiny`` was asked for and is not here.
    """
    own = exact(at.pipe, at.target)
    match wanted:
        case "vae":
            return Choice(own, {"decoder": "vae", "decoder_because": "asked for"})
        case "tiny":
            decoder, facts = tiny(at.pipe, at.target, at.tiny)
            latents = at.draw(4)
            quality = round(psnr(decoder(latents), own(latents)), 2)
            return Choice(
                decoder,
                {
                    "decoder": "tiny",
                    "decoder_because": "asked for",
                    "decoder_psnr": quality,
                    **facts,
                },
            )
        case "fitted":
            return _fitted(own, at, "asked for")
        case _:
            return _auto(own, at)


def _fitted(own: Decoder, at: Situation, because: str) -> Choice:
    found, quality = fitted(own, at.target, at.image_size, at.draw)
    facts = {"decoder_psnr": round(quality, 2)}
    if quality < GOOD:
        return Choice(
            own,
            {
                "decoder": "vae",
                "decoder_because": f"the fitted map's PSNR of {quality:.1f} dB is below {GOOD:g}",
                **facts,
            },
        )
    return Choice(found, {"decoder": "fitted", "decoder_because": because, **facts})


def _auto(own: Decoder, at: Situation) -> Choice:
    def vae(because: str) -> Choice:
        return Choice(own, {"decoder": "vae", "decoder_because": because})

    if at.image_size - 2 * at.target.border <= at.target.size:
        return vae(
            "the model's images are no larger than the dataset's, so it makes no pixel too many"
        )
    sampling, latents = _seconds(lambda: at.draw(1))
    decoding, _ = _seconds(lambda: own(latents))
    share = decoding / (sampling + decoding)
    if share < WORTH:
        return vae(f"it takes only {100 * share:.0f} % of an image's time")
    fitting = (FITTED_ON + HELD_OUT) * (sampling + decoding)
    images = at.images or int(at.remaining / (sampling + decoding))
    if fitting > WORTH * at.remaining or fitting > images * decoding:
        return vae(
            f"fitting a map would take about {fitting:.3g} s, too long for a run of {images} images"
        )
    return _fitted(own, at, f"the exact decoder takes {100 * share:.0f} % of an image's time")


def _seconds(make: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Time of a call and what it gave. A short one is made twice, since the first warms up."""
    for _ in range(2):
        began = time.monotonic()
        made = make()
        _synchronise()
        elapsed = time.monotonic() - began
        if elapsed > LONG:
            break
    return elapsed, made


def _synchronise() -> None:
    """Waits for the device, so that the clock shows when work is done and not when it was begun."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
