"""Images as a generator makes them, so that refined images stay in its range."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gdd_plugin.decoders.exact import CHUNK, differentiable_decoder
from gdd_plugin.generator import ImageGenerator, ImageKey
from gdd_plugin.models.any_pipeline import refusal
from gdd_plugin.models.one_step import TurboSampler

# Height in pixels up to which several images are rendered with gradients at once.
SMALL_IMAGE = 64


class Noise:
    """The noise from which a generator makes images.

    Attributes:
        tensors: the noise, [n, c, h, w], alone.
    """

    def __init__(self, noise: Tensor, render: Callable[[Tensor], Tensor]) -> None:
        """Start from ``noise``, which ``render`` turns into normalised images."""
        self.tensors = [noise.clone().requires_grad_()]
        self._render = render
        self._norm = noise.flatten(1).norm(dim=1)

    def render(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the images, [n, C, S, S]; differentiable."""
        return self._render(tensors[0])

    @torch.no_grad()
    def project(self, tensors: Sequence[Tensor]) -> None:
        """Scale the noise of each image to the norm that it had at first.

        Gaussian noise of many dimensions always has about the same norm, so the generator was
        trained on no other.
        """
        (noise,) = tensors
        noise *= (self._norm / noise.flatten(1).norm(dim=1))[:, None, None, None]


def renderer(
    generator: ImageGenerator, keys: Sequence[ImageKey]
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the noise that images start from, and the generator as a function of it.

    Gradients flow through the function. It computes each part of the images a second time when
    they do, so that its memory does not grow with the number of images.

    Returns:
        The noise, float32 [n, c, h, w]; and a function from noise to images, float32
        [n, C, S, S] in [0, 255]. Its decoder is the model's own.

    Raises:
        UserError: the model's step is not differentiable.
    """
    sources = generator.generators_of(keys)
    sampler = generator.sampler
    if not isinstance(sampler, TurboSampler):
        raise refusal(sampler.metadata.model)
    noise, step = sampler.differentiable(generator.prompts_of(keys), sources)
    sampler.pipe.vae.requires_grad_(False)
    decode = differentiable_decoder(sampler.pipe.vae, generator.output)
    # A large model needs gigabytes for the gradients of one image.
    size = CHUNK if sampler.size <= SMALL_IMAGE else 1

    def render(noise: Tensor) -> Tensor:
        return torch.cat(
            [
                checkpoint(
                    lambda part, start: decode(step(part, start, start + len(part))),
                    part,
                    number * size,
                    use_reentrant=False,
                )
                for number, part in enumerate(noise.split(size))
            ]
        )

    return noise, render
