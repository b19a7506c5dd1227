"""One-step text-to-image sampling in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark_adapters.types import UserError, one_line
from gdd_plugin import models
from gdd_plugin.decoders import Target, exact, to_uint8

PROMPTS_AT_ONCE = 32
# What one step of these schedulers computes, from sigma to 0; anything else is left to the pipeline.
DIRECT = {
    "EulerAncestralDiscreteScheduler": ("epsilon", "v_prediction"),
    "EulerDiscreteScheduler": ("epsilon", "v_prediction", "sample"),
}


class TurboSampler:
    """Prompts to latents and images through a one-step SDXL or SD pipeline: one step, guidance 0, trailing timesteps.

    Attributes:
        pipe: the pipeline.
        facts: what a record says of the model: ``model``, ``model_sha256``, ``model_trained_on``, ``model_licence``, ``dtype``, ``size``.
        border: pixels at each side of the model's images that are no part of the picture.
        size: height and width of the model's images in pixels.
        pad_to: where set, batches are filled up to this number, so that a compiled graph sees one shape.
    """

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        lora: str | None = None,
        size: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Loads ``model``: a folder, a hub id, or the name of a bundled or known one; ``lora`` is the folder of an adapter of its UNet.

        Raises:
            UserError: there is no such model or adapter, the adapter is not for this model, or the UNet can't work at ``size``.
        """
        found = models.locate(model)
        self.device, self.border, self.pad_to = device, found.border, 0
        self.pipe = models.load(found, device, dtype)
        self.size = size or self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor
        self._check_size(found.name)
        self.facts = {
            **found.facts,
            "dtype": str(self.pipe.unet.dtype).removeprefix("torch."),
            "size": self.size,
        }
        if lora:
            adapter = models.add_lora(self.pipe, lora)
            trained_on = (
                f"{self.facts['model_trained_on']}; its adapter: {adapter.pop('trained_on')}"
            )
            self.facts |= {
                **adapter,
                "model": f"{found.name} + {adapter['lora']}",
                "model_trained_on": trained_on,
            }
        models.speed_up(self.pipe)
        self._timesteps = list(found.known.timesteps) if found.known else []
        self._embeds: dict[str, Sequence[Tensor]] = {}

    @property
    def channels(self) -> int:
        """Of the latents."""
        return int(self.pipe.unet.config.in_channels)

    @property
    def is_direct(self) -> bool:
        """The single step is computed here, and not by the pipeline, which one thread alone can call at a time."""
        return self._sigma() is not None

    def compile(self, batch: int) -> str:
        """Compiles the UNet for batches of ``batch`` and fills up smaller ones; returns why that failed, or nothing."""
        prompt = next(iter(self._embeds))
        self.pad_to = batch
        try:
            self.pipe.unet.compile(dynamic=False)
            self.latents([prompt], [generator(0, -1, 0)])
        except Exception as error:  # no compiler, or something that it can't translate
            self.uncompile()
            return f"failed: {one_line(error, 150)}"
        return ""

    def uncompile(self) -> None:
        """Back to any size of batch."""
        self.pipe.unet._compiled_call_impl, self.pad_to = None, 0

    @torch.inference_mode()
    def encode(self, prompts: Sequence[str]) -> None:
        """Computes the embeddings of the prompts that are new."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._embeds]
        if new and self.pipe.text_encoder is None:
            raise RuntimeError(f"{new[0]} was not encoded before the encoders were freed")
        for start in range(0, len(new), PROMPTS_AT_ONCE):
            part = new[start : start + PROMPTS_AT_ONCE]
            # Embeddings and, from SDXL, pooled ones; each is followed by that of a negative prompt, which is None.
            found = self.pipe.encode_prompt(
                part, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
            )[::2]
            self._embeds.update(
                zip(part, zip(*(embeds.split(1) for embeds in found), strict=True), strict=True)
            )

    def free_encoders(self) -> None:
        """Gives the text encoders' memory back; from then on only prompts that were encoded can be sampled."""
        self.pipe.text_encoder = self.pipe.text_encoder_2 = None
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def latents(self, prompts: Sequence[str], generators: Sequence[torch.Generator]) -> Tensor:
        """Denoised latents float [n, c, h, w] on the device, as the pipeline gives them with ``output_type="latent"``, from one batch.

        Each image's noise comes from its own CPU generator. Equal prompts and generators in other batches agree to rounding.
        """
        self.encode(prompts)
        count, side = len(prompts), self.size // self.pipe.vae_scale_factor
        filled = [prompts[min(index, count - 1)] for index in range(max(count, self.pad_to))]
        noise = torch.stack(
            [torch.randn(self.channels, side, side, generator=one) for one in generators]
        )
        noise = torch.cat([noise, noise[-1:].expand(len(filled) - count, -1, -1, -1)])
        if self.device.startswith("cuda"):
            noise = noise.pin_memory()
        noise = noise.to(self.device, non_blocking=True)
        embeds = [
            torch.cat(part)
            for part in zip(*(self._embeds[prompt] for prompt in filled), strict=True)
        ]
        sigma = self._sigma()
        return (
            self._by_pipeline(noise, embeds)
            if sigma is None
            else self._direct(noise, embeds, sigma)
        )[:count]

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[str], generators: Sequence[torch.Generator], batch: int = 64
    ) -> Tensor:
        """Images uint8 [n, 3, H, W] on the CPU by the exact decoder, the border cropped, in batches of ``batch``."""
        decode = exact(self.pipe, Target(self.size - 2 * self.border, 3, self.border))
        starts = range(0, len(prompts), batch)
        return torch.cat(
            [
                to_uint8(
                    decode(self.latents(prompts[at : at + batch], generators[at : at + batch]))
                ).cpu()
                for at in starts
            ]
        )

    def _sigma(self) -> float | None:
        """The noise level of the single step, where `_direct` computes it."""
        scheduler = self.pipe.scheduler
        direct = DIRECT.get(type(scheduler).__name__, ())
        if (
            self._timesteps
            or scheduler.config.prediction_type not in direct
            or self.pipe.unet.config.time_cond_proj_dim
        ):
            return None
        if scheduler.num_inference_steps != 1:
            scheduler.set_timesteps(1)
        return (
            float(scheduler.sigmas[0])
            if len(scheduler.sigmas) == 2 and scheduler.sigmas[1] == 0
            else None
        )

    def _direct(self, noise: Tensor, embeds: Sequence[Tensor], sigma: float) -> Tensor:
        """The Euler step from ``sigma`` to 0, which is the model's estimate of the clean latents (Karras et al. 2022, algorithm 1)."""
        unet, scheduler = self.pipe.unet, self.pipe.scheduler
        noisy = noise * float(scheduler.init_noise_sigma)
        scaled = (noisy / (sigma**2 + 1) ** 0.5).to(unet.dtype, memory_format=torch.channels_last)
        output = unet(
            scaled,
            float(scheduler.timesteps[0]),
            embeds[0],
            added_cond_kwargs=self._conditions(embeds),
        ).sample.float()
        match scheduler.config.prediction_type:
            case "epsilon":
                return noisy - sigma * output
            case "v_prediction":
                return noisy / (sigma**2 + 1) - output * sigma / (sigma**2 + 1) ** 0.5
            case _:
                return output

    def _conditions(self, embeds: Sequence[Tensor]) -> dict[str, Tensor] | None:
        """SDXL's further conditions: the pooled text, and the sizes of an image of ``size``, not cropped."""
        if len(embeds) == 1:
            return None
        sizes = embeds[1].new_tensor([self.size, self.size, 0, 0, self.size, self.size])
        return {"text_embeds": embeds[1], "time_ids": sizes.expand(len(embeds[1]), -1)}

    def _by_pipeline(self, noise: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        named = dict(zip(("prompt_embeds", "pooled_prompt_embeds"), embeds, strict=False))
        steps: dict[str, Any] = (
            {"timesteps": self._timesteps} if self._timesteps else {"num_inference_steps": 1}
        )
        latents = noise.to(self.pipe.unet.dtype)
        made = self.pipe(
            **named,
            **steps,
            latents=latents,
            height=self.size,
            width=self.size,
            guidance_scale=0.0,
            output_type="latent",
        ).images
        return torch.as_tensor(made).float()

    def _check_size(self, name: str) -> None:
        step = self.pipe.vae_scale_factor * 2 ** (len(self.pipe.unet.config.block_out_channels) - 1)
        if self.size % step or self.size <= 2 * self.border:
            raise UserError(
                f"size {self.size}: model {name} makes images whose side is a multiple of {step} pixels"
            )


def generator(seed: int, label: int, index: int) -> torch.Generator:
    """The source of all randomness of one sampled image, whatever is sampled beside it."""
    digest = hashlib.blake2b(f"{seed}/{label}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
