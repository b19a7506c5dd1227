"""An SDXL pipeline as a network to train: the denoiser (UNet and text encoders), and the generator (denoiser, then decoder)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from gdd_plugin.decoders import to_size

LAST = 999  # the timestep of a single step with trailing spacing


class Denoiser(nn.Module):
    """Noisy latents to an estimate of clean ones; one step from pure noise at `LAST` is the pipeline's single step.

    Attributes:
        alpha, sigma: shares of signal and noise at each timestep, [1000] each; their squares sum to 1.
    """

    alpha: Tensor
    sigma: Tensor

    def __init__(self, pipe: Any) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.text_encoder_2 = (
            pipe.unet,
            pipe.text_encoder,
            pipe.text_encoder_2,
        )
        self.prediction = pipe.scheduler.config.prediction_type
        self.register_buffer("alpha", pipe.scheduler.alphas_cumprod.sqrt(), persistent=False)
        self.register_buffer("sigma", (1 - pipe.scheduler.alphas_cumprod).sqrt(), persistent=False)
        self.scale = pipe.vae_scale_factor

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: tuple[Tensor, Tensor]) -> Tensor:
        """Clean scaled latents [n, c, h, w] from ``noisy`` ones (alpha * clean + sigma * unit noise) at ``timesteps`` [n].

        ``tokens`` are the ids [k, length] for both encoders; each of the k prompts serves n / k neighbouring samples.
        """
        embeds, pooled = self.embed(tokens)
        count = len(noisy) // len(embeds)
        height, width = (side * self.scale for side in noisy.shape[-2:])
        sizes = noisy.new_tensor([height, width, 0, 0, height, width]).expand(len(noisy), 6)
        conditions = {"text_embeds": pooled.repeat_interleave(count, 0), "time_ids": sizes}
        output = self.unet(
            noisy, timesteps, embeds.repeat_interleave(count, 0), added_cond_kwargs=conditions
        ).sample
        alpha, sigma = (
            self.alpha[timesteps][:, None, None, None],
            self.sigma[timesteps][:, None, None, None],
        )
        return (
            alpha * noisy - sigma * output
            if self.prediction == "v_prediction"
            else (noisy - sigma * output) / alpha
        )

    def embed(self, tokens: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Token embeddings [k, length, width] and pooled embeddings [k, width]."""
        first = self.text_encoder(tokens[0], output_hidden_states=True)
        second = self.text_encoder_2(tokens[1], output_hidden_states=True)
        return torch.cat(
            [first.hidden_states[-2], second.hidden_states[-2]], -1
        ), second.text_embeds

    def one_step(self, noise: Tensor, tokens: tuple[Tensor, Tensor]) -> Tensor:
        """Clean scaled latents from unit ``noise``."""
        return self(
            noise * self.sigma[LAST], torch.full((len(noise),), LAST, device=noise.device), tokens
        )

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return (
            self.alpha[timesteps][:, None, None, None] * clean
            + self.sigma[timesteps][:, None, None, None] * noise
        )


class Generator(nn.Module):
    """Unit noise and prompts to scaled latents, and to pictures as the dataset has them.

    Attributes:
        shape: of one sample's noise and latents, (c, h, w).
    """

    def __init__(
        self, denoiser: Denoiser, vae: AutoencoderKL, channels: int, size: int, border: int
    ) -> None:
        super().__init__()
        self.denoiser, self.vae = denoiser, vae
        self.channels, self.size, self.border = channels, size, border
        unet = denoiser.unet.config
        self.shape = (unet.in_channels, unet.sample_size, unet.sample_size)

    def forward(self, noise: Tensor, tokens: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Latents [n, c, h, w], and pictures [n, channels, size, size] around [-1, 1]."""
        latents = self.denoiser.one_step(noise, tokens)
        return latents, self.pictures(latents)

    def pictures(self, latents: Tensor) -> Tensor:
        with torch.autocast(
            latents.device.type, torch.bfloat16
        ):  # faster than float32, and SDXL's decoder overflows in float16
            pixels = self.vae.decode(latents / self.vae.config.scaling_factor).sample.float()
        edge = self.border
        return to_size(
            pixels[..., edge : pixels.shape[-2] - edge, edge : pixels.shape[-1] - edge],
            self.size,
            self.channels,
        )


class Prompts:
    """Every wording of each class as token ids of the pipeline's two encoders; the first, the bare class name, comes a third of the time and more."""

    def __init__(self, pipe: Any, wordings: Sequence[Sequence[str]], device: torch.device) -> None:
        self.wordings, self.device = wordings, device
        self.tokenizers = (pipe.tokenizer, pipe.tokenizer_2)

    def draw(self, classes: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Token ids [k, length] of one prompt for each of ``classes``, for both encoders."""
        chosen = []
        for label in classes:
            bare = float(torch.rand(())) < 1 / 3
            chosen.append(
                self.wordings[label][
                    0 if bare else int(torch.randint(len(self.wordings[label]), ()))
                ]
            )
        return self.tokens(chosen)

    def tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        first, second = (
            one(
                list(prompts),
                padding="max_length",
                max_length=one.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids.to(self.device)
            for one in self.tokenizers
        )
        return first, second
