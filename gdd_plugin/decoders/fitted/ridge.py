"""A fitted decoder for runs of few images: ridge regression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gdd_plugin.decoders.fitted.grid import Grid
from gdd_plugin.decoders.images import OutputSpec

# Height and width of the neighbourhood that the features of a position are taken from.
KERNEL = 3
RANDOM_FEATURES = 256
# Weight of the ridge penalty for each fitted position.
RIDGE = 1e-3


class RidgeDecoder:
    """A direct map from latents to pixels: ridge regression on the neighbourhood of each position.

    The features of a position are its 3x3 neighbourhood on the `Grid` and `RANDOM_FEATURES`
    rectified random combinations of it (Rahimi & Recht 2008). The combinations are the same in
    every run.

    Attributes:
        map: name of this kind of map.
        samples: number of exact decodes to fit to.
    """

    map, samples = "ridge", 32

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
        self.grid = Grid.of(latents, output, image_size)
        inputs = self.grid.inputs(latents)
        self._draw_random_features(inputs.shape[1], latents.device)
        # Solve in double precision on the CPU, because some devices do not support it.
        features = _flatten_positions(self._features(inputs))
        targets = _flatten_positions(self.grid.targets(pixels))
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
        return self.grid.pixels(F.conv2d(self._features(self.grid.inputs(latents)), self.weight))

    def _features(self, inputs: Tensor) -> Tensor:
        """Return the features of positions, [n, features, side, side]."""
        x = F.pad(inputs, [KERNEL // 2] * 4, mode="replicate")
        nonlinear = F.relu(F.conv2d(x, self.kernels, self.bias))
        linear = F.unfold(x, KERNEL).unflatten(-1, nonlinear.shape[-2:])
        return torch.cat([linear, nonlinear, torch.ones_like(nonlinear[:, :1])], 1)


def _flatten_positions(maps: Tensor) -> Tensor:
    """Convert [n, features, h, w] to float64 [n * h * w, features] on the CPU."""
    return maps.movedim(1, -1).flatten(0, -2).cpu().double()
