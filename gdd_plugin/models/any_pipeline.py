"""Images from any text-to-image pipeline of diffusers, which is called as it is.

It is the slow way to many images: the pipeline encodes a prompt for every image, and one batch at a
time is made. The step of the pipelines in `gdd_plugin.models.backbones` is computed directly.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from benchmark_adapters.types import UserError
from gdd_plugin.decoders.images import Decoder, OutputSpec, to_size
from gdd_plugin.metadata import ModelMetadata
from gdd_plugin.models import compilation, loading
from gdd_plugin.models.loading import LocatedModel

# Names of the network that removes the noise.
NETWORKS = ("transformer", "unet")


class PipelineSampler:
    """A sampler of images, without guidance.

    Its "latents" are finished images, because every pipeline has latents of its own.

    Attributes:
        pipe: the pipeline.
        metadata: description of the model for the record.
        size: height and width of the model's images in pixels.
        border: pixels on each side of the images that are not part of the picture.
        pad_to: if not 0, batches are padded to this number of images, so that a compiled graph sees
            a single shape.
    """

    is_direct = False

    def __init__(
        self,
        model: LocatedModel,
        device: str,
        size: int | None,
        dtype: torch.dtype | None,
        steps: int,
    ) -> None:
        """Load a model.

        Args:
            model: the model.
            device: torch device.
            size: height and width of the model's images in pixels; None: the model's own size.
            dtype: data type of the networks; None: float32 on a CPU, and bfloat16 on other devices
                that support it.
            steps: steps from noise to an image.

        Raises:
            UserError: the model cannot be loaded, or its size is not known.
        """
        self.device, self.border, self.pad_to, self.steps = device, model.training.border, 0, steps
        if dtype is None and device != "cpu":
            dtype = loading.wide_half(device)
        self.pipe = loading.load(model, device, dtype)
        self.size = size or self._own_size(model.name)
        self.metadata = ModelMetadata(
            model=model.name,
            model_sha256=model.weights_sha256,
            model_trained_on=model.trained_on,
            model_licence=model.licence,
            dtype=str(self._network.dtype).removeprefix("torch."),
            size=self.size,
            steps=steps,
        )

    @property
    def _network(self) -> Any:
        for name in NETWORKS:
            if network := getattr(self.pipe, name, None):
                return network
        raise UserError(
            f"a {type(self.pipe).__name__} has no {' or '.join(NETWORKS)}, so it can't be used"
        )

    @property
    def parameters(self) -> int:
        """Number of parameters of the network that removes the noise."""
        return sum(weights.numel() for weights in self._network.parameters())

    def _own_size(self, name: str) -> int:
        own = getattr(self.pipe, "default_sample_size", None)
        own = own or self._network.config.get("sample_size")
        if not isinstance(own, int):
            raise UserError(f"model {name} does not say how large its images are: --option size=N")
        return own * int(getattr(self.pipe, "vae_scale_factor", 1))

    def encode(self, prompts: Sequence[str]) -> None:
        """Do nothing: the pipeline encodes prompts when it is called."""

    def free_encoders(self) -> None:
        """Do nothing: the pipeline needs its encoders."""

    @torch.inference_mode()
    def latents(self, prompts: Sequence[str], generators: Sequence[torch.Generator]) -> Tensor:
        """Sample one batch of images, float32 [n, 3, h, w] in [0, 255] on the device."""
        count = len(prompts)
        filled = [min(index, count - 1) for index in range(max(count, self.pad_to))]
        images = self.pipe(
            [prompts[index] for index in filled],
            generator=[generators[index] for index in filled],
            num_inference_steps=self.steps,
            height=self.size,
            width=self.size,
            output_type="pt",
            **self._without_guidance(),
        ).images
        return torch.as_tensor(images)[:count].float() * 255

    def _without_guidance(self) -> dict[str, float]:
        """Return the argument that turns guidance off, where a pipeline has one to turn off.

        Networks that were distilled with guidance get its scale as an input. They need the
        pipeline's default.
        """
        settings = self._network.config
        is_distilled = settings.get("guidance_embeds") or settings.get("time_cond_proj_dim")
        names = inspect.signature(type(self.pipe).__call__).parameters
        return {} if is_distilled or "guidance_scale" not in names else {"guidance_scale": 0.0}

    def decoder(self, output: OutputSpec) -> Decoder:
        """Return a function that resizes images."""
        return lambda images: to_size(images, output.size, output.channels)

    def compile(self, batch: int) -> str:
        """Compile the network for batches of ``batch`` images.

        Returns:
            The reason if compiling failed, otherwise an empty string.
        """
        self.pad_to = batch
        generator = torch.Generator().manual_seed(0)
        failure = compilation.compile_blocks(
            self._network, lambda: self.latents(["a photo"], [generator])
        )
        self.pad_to = 0 if failure else batch
        return failure

    def uncompile(self) -> None:
        """Undo `compile`, so that batches can have any size again."""
        compilation.uncompile(self._network)
        self.pad_to = 0

    def require_direct(self) -> NoReturn:
        """Raise `UserError`: images can't be refined through a pipeline's call."""
        raise refusal(self.metadata.model)


def refusal(model: str) -> UserError:
    """Return the error for images that can't be refined in latents."""
    return UserError(
        f"model {model}: its images can't be refined in latents, because its step is left to the "
        "pipeline; choose --option refine=pixels"
    )
