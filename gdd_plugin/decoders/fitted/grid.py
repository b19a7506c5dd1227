"""The grid of positions on which fitted decoders map latents to pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from gdd_plugin.decoders.images import OutputSpec, resize


@dataclass(frozen=True)
class Grid:
    """Latents and pixels, rearranged to common positions.

    If a pixel covers several latents, these become channels. If a latent covers several pixels,
    these become outputs.

    Attributes:
        size: height and width of the images in pixels.
        edge: pixels around the images that are cropped.
        side: height and width of the grid in positions.
        latents_per_pixel, pixels_per_latent: along each axis.
        scale: standard deviation of the latents.
    """

    size: int
    edge: int
    side: int
    latents_per_pixel: int
    pixels_per_latent: int
    scale: Tensor

    @classmethod
    def of(cls, latents: Tensor, output: OutputSpec, image_size: int) -> Grid:
        """Return the grid for ``latents`` [n, c, h, h].

        Args:
            latents: examples, whose scale is taken for all.
            output: the images to produce.
            image_size: height and width of the model's images in pixels.
        """
        edge = round(output.border * output.size / (image_size - 2 * output.border))
        latent_side, padded_size = latents.shape[-1], output.size + 2 * edge
        return cls(
            output.size,
            edge,
            min(latent_side, padded_size),
            math.ceil(latent_side / padded_size),
            math.ceil(padded_size / latent_side),
            latents.float().std(),
        )

    def inputs(self, latents: Tensor) -> Tensor:
        """Return what to map from: float32 [n, channels, side, side]."""
        x = latents.float() / self.scale
        side = self.side * self.latents_per_pixel
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        return F.pixel_unshuffle(x, self.latents_per_pixel)

    def targets(self, pixels: Tensor) -> Tensor:
        """Return what to map to, for ``pixels`` [n, C, size, size] in [0, 255]."""
        padded = F.pad(pixels / 127.5 - 1, [self.edge] * 4, mode="replicate")
        padded = resize(padded, self.side * self.pixels_per_latent)
        return F.pixel_unshuffle(padded, self.pixels_per_latent)

    def pixels(self, outputs: Tensor) -> Tensor:
        """Return the pixels of mapped values, float32 [n, C, size, size] in [0, 255]."""
        pixels = F.pixel_shuffle(outputs, self.pixels_per_latent)
        pixels = resize(pixels, self.size + 2 * self.edge)
        inside = slice(self.edge, self.edge + self.size)
        return ((pixels[..., inside, inside] + 1) * 127.5).clamp(0, 255)
