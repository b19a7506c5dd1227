"""A decoder that is fitted to the exact decoder during the run."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gdd_plugin.decoders.images import Decoder, OutputSpec, resize

FIT_SAMPLES = 32
# Height and width of the neighbourhood that the features of a position are taken from.
KERNEL = 3
RANDOM_FEATURES = 256
# Weight of the ridge penalty for each fitted position.
RIDGE = 1e-3


class RidgeDecoder:
    """A direct map from latents to pixels: ridge regression on the neighbourhood of each position.

    Latents and pixels are rearranged to a common grid. If a pixel covers several latents, these
    become channels. If a latent covers several pixels, these become outputs.

    The features of a position are its 3x3 neighbourhood and `RANDOM_FEATURES` rectified random
    combinations of it (Rahimi & Recht 2008). The combinations are the same in every run.
    """

    def __init__(
        self, latents: Tensor, pixels: Tensor, output: OutputSpec, image_size: int
    ) -> None:
        """Fit the map to exactly decoded pixels.

        Args:
            latents: [n, c, h, h].
            pixels: [n, C, s, s] in [0, 255], exactly decoded from ``latents``.
            output: the images to produce, of size s with C channels.
            image_size: height and width of the model's images in pixels.
        """
        self.size = output.size
        self.edge = round(output.border * output.size / (image_size - 2 * output.border))
        side, padded_size = latents.shape[-1], output.size + 2 * self.edge
        self.latents_per_pixel = math.ceil(side / padded_size)
        self.pixels_per_latent = math.ceil(padded_size / side)
        self.grid = min(side, padded_size)
        self.scale = latents.float().std()
        self._draw_random_features(latents.shape[1] * self.latents_per_pixel**2, latents.device)
        # Solve in double precision on the CPU, because some devices do not support it.
        features = _flatten_positions(self._features(latents))
        targets = F.pad(pixels / 127.5 - 1, [self.edge] * 4, mode="replicate")
        targets = resize(targets, self.grid * self.pixels_per_latent)
        targets = _flatten_positions(F.pixel_unshuffle(targets, self.pixels_per_latent))
        gram = features.T @ features
        gram.diagonal().add_(RIDGE * len(features))
        solution = torch.linalg.solve(gram, features.T @ targets)
        self.weight = solution.T.float()[..., None, None].to(latents.device)

    def _draw_random_features(self, width: int, device: torch.device) -> None:
        source = torch.Generator().manual_seed(0)
        kernels = torch.randn(RANDOM_FEATURES, width, KERNEL, KERNEL, generator=source)
        self.kernels = (kernels / (width * KERNEL**2) ** 0.5).to(device)
        self.bias = torch.randn(RANDOM_FEATURES, generator=source).to(device)

    @torch.inference_mode()
    def __call__(self, latents: Tensor) -> Tensor:
        """Decode latents [n, c, h, h] to pixels in [0, 255], float32 [n, channels, size, size]."""
        outputs = F.conv2d(self._features(latents), self.weight)
        pixels = F.pixel_shuffle(outputs, self.pixels_per_latent)
        pixels = resize(pixels, self.size + 2 * self.edge)
        inside = slice(self.edge, self.edge + self.size)
        return ((pixels[..., inside, inside] + 1) * 127.5).clamp(0, 255)

    def _features(self, latents: Tensor) -> Tensor:
        """Return the features of ``latents``, [n, features, grid, grid]."""
        x = latents.float() / self.scale
        side = self.grid * self.latents_per_pixel
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        x = F.pixel_unshuffle(x, self.latents_per_pixel)
        x = F.pad(x, [KERNEL // 2] * 4, mode="replicate")
        nonlinear = F.relu(F.conv2d(x, self.kernels, self.bias))
        linear = F.unfold(x, KERNEL).unflatten(-1, nonlinear.shape[-2:])
        return torch.cat([linear, nonlinear, torch.ones_like(nonlinear[:, :1])], 1)


def _flatten_positions(maps: Tensor) -> Tensor:
    """Convert [n, features, h, w] to float64 [n * h * w, features] on the CPU."""
    return maps.movedim(1, -1).flatten(0, -2).cpu().double()


@torch.inference_mode()
def fit_decoder(
    decode: Decoder, output: OutputSpec, image_size: int, latents: Tensor
) -> RidgeDecoder:
    """Return a decoder fitted to ``decode`` on ``latents``, of which `FIT_SAMPLES` are enough."""
    return RidgeDecoder(latents, decode(latents), output, image_size)
