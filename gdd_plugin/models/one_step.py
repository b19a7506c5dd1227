"""Batched one-step sampling from text-to-image models."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import UserError
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import Decoder, OutputSpec, to_uint8
from gdd_plugin.metadata import ModelMetadata
from gdd_plugin.models import compilation, direct_step, loading, lora, optimize
from gdd_plugin.models.any_pipeline import refusal
from gdd_plugin.models.backbones import BACKBONES, backbone_of
from gdd_plugin.models.direct_step import DirectStep
from gdd_plugin.models.embeddings import Embeddings
from gdd_plugin.models.loading import LocatedModel
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.transfer import to_device


class TurboSampler:
    """A sampler of latents and images, with guidance 0 and trailing timesteps, mostly in one step.

    Attributes:
        pipe: the pipeline.
        embeddings: embeddings of the prompts.
        metadata: description of the model for the record.
        border: pixels on each side of the model's images that are not part of the picture.
        size: height and width of the model's images in pixels.
        pad_to: if not 0, batches are padded to this number of images, so that a compiled graph sees
            a single shape.
    """

    def __init__(
        self,
        model: str | LocatedModel,
        device: str = "cpu",
        lora: str | None = None,
        size: int | None = None,
        dtype: torch.dtype | None = None,
        steps: int = 1,
    ) -> None:
        """Load a model.

        Args:
            model: the model; or its name, folder, file or Hub ID.
            device: torch device.
            lora: folder of a LoRA adapter for the UNet.
            size: height and width of the model's images in pixels; None: the model's own size.
            dtype: data type of the UNet; None: the default of `loading.load`.
            steps: steps from noise to latents. The pipeline computes them if there are several.

        Raises:
            UserError: the model or the adapter cannot be found or loaded, the adapter does not fit
                the model, its pipeline is of another kind, or the model does not support ``size``
                or ``steps``.
        """
        located = loading.locate(model) if isinstance(model, str) else model
        _check(located, steps)
        self.border, self.steps = located.training.border, steps
        self._set_up(loading.load(located, device, dtype), device, size)
        self._check_size(located.name)
        self.metadata = self._add_adapter(located, lora)
        optimize.optimize(self.pipe)
        self._timesteps = list(located.spec.timesteps) if located.spec else []

    @classmethod
    def of(cls, pipe: Any, device: str, size: int | None = None) -> TurboSampler:
        """Return a sampler for a pipeline in memory. It has no metadata."""
        sampler = cls.__new__(cls)
        sampler.border, sampler.steps, sampler._timesteps = 0, 1, []
        sampler._set_up(pipe, device, size)
        optimize.optimize(pipe)
        return sampler

    def _set_up(self, pipe: Any, device: str, size: int | None) -> None:
        self.pipe, self.device, self.pad_to = pipe, device, 0
        self.backbone = backbone_of(pipe)
        self.size = size or self.network.config.sample_size * pipe.vae_scale_factor
        self.embeddings = Embeddings(pipe, device)
        self._wide: Any = None
        self._lock = threading.Lock()

    def _add_adapter(self, located: loading.LocatedModel, folder: str | None) -> ModelMetadata:
        adapter = lora.add_lora(self.pipe, folder) if folder else None
        name, trained_on = located.name, located.trained_on
        if adapter:
            name = f"{name} + {adapter.name}"
            trained_on = f"{trained_on}; adapter: {adapter.trained_on}"
        return ModelMetadata(
            model=name,
            model_sha256=located.weights_sha256,
            model_trained_on=trained_on,
            model_licence=located.licence,
            dtype=str(self.network.dtype).removeprefix("torch."),
            size=self.size,
            steps=self.steps,
            lora=adapter.name if adapter else None,
            lora_sha256=adapter.sha256 if adapter else None,
            model_dataset=None if adapter else located.training.settings.get("dataset"),
        )

    @property
    def channels(self) -> int:
        """Number of channels of the latents."""
        return int(self.network.config.in_channels)

    @property
    def network(self) -> Any:
        """The network that removes the noise."""
        return getattr(self.pipe, self.backbone.network)

    @property
    def parameters(self) -> int:
        """Number of parameters of the network that removes the noise."""
        return sum(weights.numel() for weights in self.network.parameters())

    def decoder(self, output: OutputSpec) -> Decoder:
        """Return the model's own decoder."""
        return exact_decoder(self.pipe, output)

    @property
    def is_direct(self) -> bool:
        """Whether this module computes the step itself instead of calling the pipeline.

        Only one thread at a time can call the pipeline.
        """
        return self.direct is not None

    def compile(self, batch: int) -> str:
        """Compile the network for batches of ``batch`` images.

        Returns:
            The reason if compiling failed, otherwise an empty string.
        """
        prompt = next(iter(self.embeddings.by_prompt))
        self.pad_to = batch
        failure = compilation.compile_blocks(
            self.network, lambda: self.latents([prompt], [seeded_generator(0, -1, 0)])
        )
        self.pad_to = 0 if failure else batch
        return failure

    def uncompile(self) -> None:
        """Undo `compile`, so that batches can have any size again."""
        compilation.uncompile(self.network)
        self.pad_to = 0

    def encode(self, prompts: Sequence[str]) -> None:
        """Compute and store the embeddings of new prompts.

        Raises:
            RuntimeError: a prompt is new, but the text encoders were freed.
        """
        self.embeddings.add(prompts)

    def free_encoders(self) -> None:
        """Free the memory of the text encoders. After that, only encoded prompts can be sampled."""
        for name in self.backbone.text_encoders:
            setattr(self.pipe, name, None)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def latents(
        self,
        prompts: Sequence[str],
        generators: Sequence[torch.Generator],
        in_float32: bool = False,
    ) -> Tensor:
        """Sample one batch of latents.

        The noise of each image comes from its own CPU generator. Equal prompts and generators
        therefore produce equal latents in any batch, up to rounding. ``in_float32`` computes with a
        float32 copy of the UNet, which takes twice as much memory as one in half precision.

        Returns:
            float32 [n, c, h, w] on the device, as from the pipeline with ``output_type="latent"``.

        Raises:
            RuntimeError: a prompt was not encoded before the text encoders were freed.
        """
        self.encode(prompts)
        count = len(prompts)
        padded = [prompts[min(index, count - 1)] for index in range(max(count, self.pad_to))]
        noise = self._noise(generators)
        noise = torch.cat([noise, noise[-1:].expand(len(padded) - count, -1, -1, -1)])
        noise = to_device(noise, self.device)
        embeddings = self.embeddings.of(padded)
        network = self._float32_network() if in_float32 else self.network
        if self.direct is None:
            filled = [generators[min(index, count - 1)] for index in range(len(padded))]
            return self._call_pipeline(noise, embeddings, network, filled)[:count]
        return self._step(noise, embeddings, self.direct, network)[:count]

    def _float32_network(self) -> Any:
        """Return a copy of the network in float32, which is made once."""
        with self._lock:
            if self._wide is None:
                # The copy isn't compiled.
                self._wide = copy.deepcopy(self.network).float()
        return self._wide

    def differentiable(
        self, prompts: Sequence[str], generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Callable[[Tensor, int, int], Tensor]]:
        """Return noise, and a function through which gradients flow from latents to the noise.

        Returns:
            The noise of `latents` for the same arguments, float32 [n, c, h, w] on the device; and a
            function (noise, start, end) -> latents of the images from ``start`` to ``end`` - 1,
            whose noise it gets.

        Raises:
            UserError: the pipeline computes the step, which is not differentiable.
        """
        direct = self.require_direct()
        self.uncompile()
        self.encode(prompts)
        self.network.requires_grad_(False)
        # Tensors from inference mode can't take part in a backward pass.
        embeddings = [kind.clone() for kind in self.embeddings.of(prompts)]

        def step(noise: Tensor, start: int, end: int) -> Tensor:
            part = [kind[start:end] for kind in embeddings]
            return self._step(noise, part, direct, self.network)

        return self._noise(generators).to(self.device), step

    def require_direct(self) -> DirectStep:
        """Return the step; raise `UserError` if the pipeline computes it, without gradients."""
        if self.direct is None:
            raise refusal(self.metadata.model)
        return self.direct

    def _noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        side = self.size // self.pipe.vae_scale_factor
        shape = (self.channels, side, side)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[str], generators: Sequence[torch.Generator], batch: int = 64
    ) -> Tensor:
        """Sample images and decode them exactly.

        Returns:
            uint8 [n, 3, S, S] on the CPU, without the border.
        """
        decode = exact_decoder(self.pipe, OutputSpec(self.size - 2 * self.border, 3, self.border))
        images = []
        for start in range(0, len(prompts), batch):
            part = slice(start, start + batch)
            images.append(to_uint8(decode(self.latents(prompts[part], generators[part]))).cpu())
        return torch.cat(images)

    @functools.cached_property
    def direct(self) -> DirectStep | None:
        """The single step, or None if the pipeline must compute it."""
        # Such a UNet also gets the scale of the guidance, which the pipeline computes.
        if self.steps > 1 or self.network.config.get("time_cond_proj_dim"):
            return None
        return direct_step.find(self.pipe.scheduler, self._timesteps)

    def _step(
        self, noise: Tensor, embeddings: Sequence[Tensor], step: DirectStep, network: Any
    ) -> Tensor:
        embeddings = [kind.to(network.dtype) for kind in embeddings]
        visible = step.visible(noise).to(network.dtype, memory_format=torch.channels_last)
        # A number would be copied to a GPU, which waits for it.
        timestep = torch.full((1,), step.timestep, device=noise.device)
        output = self.backbone.predict(network, visible, timestep, embeddings, self.size)
        return step.denoised(noise, output.float())

    def _call_pipeline(
        self,
        noise: Tensor,
        embeddings: Sequence[Tensor],
        network: Any,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        # Only one thread at a time calls the pipeline.
        usual = self.network
        setattr(self.pipe, self.backbone.network, network)
        try:
            cast = [kind.to(network.dtype) for kind in embeddings]
            return self._called(noise, cast, generators)
        finally:
            setattr(self.pipe, self.backbone.network, usual)

    def _called(
        self,
        noise: Tensor,
        embeddings: Sequence[Tensor],
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        steps: dict[str, Any] = {"num_inference_steps": self.steps}
        if self._timesteps:
            steps = {"timesteps": self._timesteps}
        if self.steps > 1:
            # Schedulers may add noise between two steps.
            steps["generator"] = list(generators)
        latents = self.pipe(
            **dict(zip(self.backbone.embeddings, embeddings, strict=True)),
            **steps,
            latents=noise.to(self.network.dtype),
            height=self.size,
            width=self.size,
            guidance_scale=0.0,
            output_type="latent",
        ).images
        return torch.as_tensor(latents).float()

    def _check_size(self, name: str) -> None:
        step = self.pipe.vae_scale_factor * 2 ** (len(self.network.config.block_out_channels) - 1)
        if self.size % step or self.size <= 2 * self.border:
            raise UserError(
                f"size {self.size}: the image size of model {name} must be a multiple of "
                f"{step} pixels"
            )


def _check(model: LocatedModel, steps: int) -> None:
    """Raise `UserError` if the model's pipeline or the number of steps does not suit it."""
    kind = loading.pipeline_class(model.folder)
    if kind not in BACKBONES:
        raise UserError(f"model {model.name} is a {kind}; this needs a {' or a '.join(BACKBONES)}")
    if steps > 1 and model.spec and model.spec.has_one_step:
        raise UserError(
            f"model {model.name} makes images in one step only; leave out --option steps={steps}"
        )
