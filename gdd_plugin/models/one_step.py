"""Batched one-step sampling from text-to-image models."""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import UserError, one_line
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.images import OutputSpec, to_uint8
from gdd_plugin.metadata import ModelMetadata
from gdd_plugin.models import loading, lora, optimize
from gdd_plugin.models.backbones import backbone_of

# Prompts to encode at once.
ENCODE_BATCH = 32
# With these schedulers and prediction types, this module computes the step from sigma to 0 itself.
# All others are left to the pipeline.
DIRECT = {
    "EulerAncestralDiscreteScheduler": ("epsilon", "v_prediction"),
    "EulerDiscreteScheduler": ("epsilon", "v_prediction", "sample"),
}


class TurboSampler:
    """A one-step sampler of latents and images, with guidance 0 and trailing timesteps.

    Attributes:
        pipe: the pipeline.
        metadata: description of the model for the record.
        border: pixels on each side of the model's images that are not part of the picture.
        size: height and width of the model's images in pixels.
        pad_to: if not 0, batches are padded to this number of images, so that a compiled graph sees
            a single shape.
    """

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        lora: str | None = None,
        size: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: name, folder or Hub ID.
            device: torch device.
            lora: folder of a LoRA adapter for the UNet.
            size: height and width of the model's images in pixels; None: the model's own size.
            dtype: data type of the UNet; None: the default of `loading.load`.

        Raises:
            UserError: the model or the adapter cannot be found or loaded, the adapter does not fit
                the model, or the UNet does not support ``size``.
        """
        located = loading.locate(model)
        self.device, self.border, self.pad_to = device, located.training.border, 0
        self.pipe = loading.load(located, device, dtype)
        self.backbone = backbone_of(self.pipe)
        self.size = size or self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor
        self._check_size(located.name)
        self.metadata = self._add_adapter(located, lora)
        optimize.optimize(self.pipe)
        self._timesteps = list(located.spec.timesteps) if located.spec else []
        self._embeddings: dict[str, Sequence[Tensor]] = {}
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
            dtype=str(self.pipe.unet.dtype).removeprefix("torch."),
            size=self.size,
            lora=adapter.name if adapter else None,
            lora_sha256=adapter.sha256 if adapter else None,
        )

    @property
    def channels(self) -> int:
        """Number of channels of the latents."""
        return int(self.pipe.unet.config.in_channels)

    @property
    def is_direct(self) -> bool:
        """Whether this module computes the step itself instead of calling the pipeline.

        Only one thread at a time can call the pipeline.
        """
        return self._sigma() is not None

    def compile(self, batch: int) -> str:
        """Compile the UNet for batches of ``batch`` images.

        Returns:
            The reason if compiling failed, otherwise an empty string.
        """
        prompt = next(iter(self._embeddings))
        self.pad_to = batch
        try:
            self.pipe.unet.compile(dynamic=False)
            self.latents([prompt], [seeded_generator(0, -1, 0)])
        except Exception as error:
            # There is no compiler, or it does not support the model.
            self.uncompile()
            return f"failed: {one_line(error, 150)}"
        return ""

    def uncompile(self) -> None:
        """Undo `compile`, so that batches can have any size again."""
        self.pipe.unet._compiled_call_impl, self.pad_to = None, 0

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> None:
        """Compute and store the embeddings of new prompts.

        Raises:
            RuntimeError: a prompt is new, but the text encoders were freed.
        """
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeddings]
        if new and self.pipe.text_encoder is None:
            raise RuntimeError(f"{new[0]} was not encoded before the encoders were freed")
        for start in range(0, len(new), ENCODE_BATCH):
            batch = new[start : start + ENCODE_BATCH]
            # The pipeline returns each embedding followed by that of the negative prompt, which is
            # None here.
            embeddings = self.pipe.encode_prompt(
                batch,
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )[::2]
            by_prompt = zip(*(kind.split(1) for kind in embeddings), strict=True)
            self._embeddings.update(zip(batch, by_prompt, strict=True))

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
        if self.device.startswith("cuda"):
            noise = noise.pin_memory()
        noise = noise.to(self.device, non_blocking=True)
        embeddings = self._embeddings_of(padded)
        sigma = self._sigma()
        unet = self._float32_unet() if in_float32 else self.pipe.unet
        if sigma is None:
            return self._call_pipeline(noise, embeddings, unet)[:count]
        return self._step(noise, embeddings, sigma, unet)[:count]

    def _float32_unet(self) -> Any:
        """Return a copy of the UNet in float32, which is made once."""
        with self._lock:
            if self._wide is None:
                self._wide = copy.deepcopy(self.pipe.unet).float()
                self._wide._compiled_call_impl = None
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
        self.require_direct()
        sigma = self._sigma() or 0.0
        self.uncompile()
        self.encode(prompts)
        self.pipe.unet.requires_grad_(False)
        # Tensors from inference mode can't take part in a backward pass.
        embeddings = [kind.clone() for kind in self._embeddings_of(prompts)]

        def step(noise: Tensor, start: int, end: int) -> Tensor:
            part = [kind[start:end] for kind in embeddings]
            return self._step(noise, part, sigma, self.pipe.unet)

        return self._noise(generators).to(self.device), step

    def require_direct(self) -> None:
        """Raise `UserError` if the pipeline computes the step, which is not differentiable."""
        if not self.is_direct:
            raise UserError(
                f"model {self.metadata.model}: its images can't be refined in latents, because "
                "its step is left to the pipeline; choose --option refine=pixels"
            )

    def _noise(self, generators: Sequence[torch.Generator]) -> Tensor:
        side = self.size // self.pipe.vae_scale_factor
        shape = (self.channels, side, side)
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    def _embeddings_of(self, prompts: Sequence[str]) -> list[Tensor]:
        by_prompt = (self._embeddings[prompt] for prompt in prompts)
        return [torch.cat(kind) for kind in zip(*by_prompt, strict=True)]

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

    def _sigma(self) -> float | None:
        """Return the noise level of the single step, or None if the pipeline must compute it."""
        scheduler = self.pipe.scheduler
        predictions = DIRECT.get(type(scheduler).__name__, ())
        if (
            self._timesteps
            or scheduler.config.prediction_type not in predictions
            or self.pipe.unet.config.time_cond_proj_dim
        ):
            return None
        if scheduler.num_inference_steps != 1:
            scheduler.set_timesteps(1)
        sigmas = scheduler.sigmas
        return float(sigmas[0]) if len(sigmas) == 2 and sigmas[1] == 0 else None

    def _step(self, noise: Tensor, embeddings: Sequence[Tensor], sigma: float, unet: Any) -> Tensor:
        """Compute the Euler step from ``sigma`` to 0 (Karras et al. 2022, algorithm 1).

        The result is the model's estimate of the clean latents.
        """
        scheduler = self.pipe.scheduler
        embeddings = [kind.to(unet.dtype) for kind in embeddings]
        noisy = noise * float(scheduler.init_noise_sigma)
        scaled = (noisy / (sigma**2 + 1) ** 0.5).to(unet.dtype, memory_format=torch.channels_last)
        output = unet(
            scaled,
            float(scheduler.timesteps[0]),
            embeddings[0],
            added_cond_kwargs=self.backbone.conditions(embeddings, self.size),
        ).sample.float()
        match scheduler.config.prediction_type:
            case "epsilon":
                return noisy - sigma * output
            case "v_prediction":
                return noisy / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
            case _:
                return output

    def _call_pipeline(self, noise: Tensor, embeddings: Sequence[Tensor], unet: Any) -> Tensor:
        # Only one thread at a time calls the pipeline.
        self.pipe.unet, usual = unet, self.pipe.unet
        try:
            return self._called(noise, [kind.to(unet.dtype) for kind in embeddings])
        finally:
            self.pipe.unet = usual

    def _called(self, noise: Tensor, embeddings: Sequence[Tensor]) -> Tensor:
        steps: dict[str, Any] = (
            {"timesteps": self._timesteps} if self._timesteps else {"num_inference_steps": 1}
        )
        latents = self.pipe(
            **dict(zip(self.backbone.embeddings, embeddings, strict=True)),
            **steps,
            latents=noise.to(self.pipe.unet.dtype),
            height=self.size,
            width=self.size,
            guidance_scale=0.0,
            output_type="latent",
        ).images
        return torch.as_tensor(latents).float()

    def _check_size(self, name: str) -> None:
        step = self.pipe.vae_scale_factor * 2 ** (len(self.pipe.unet.config.block_out_channels) - 1)
        if self.size % step or self.size <= 2 * self.border:
            raise UserError(
                f"size {self.size}: the image size of model {name} must be a multiple of "
                f"{step} pixels"
            )


def seeded_generator(seed: int, label: int, index: int) -> torch.Generator:
    """Return the random generator for image ``index`` of class ``label``.

    It does not depend on any other image.
    """
    digest = hashlib.blake2b(f"{seed}/{label}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
