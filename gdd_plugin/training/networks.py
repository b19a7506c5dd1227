"""The networks used in training, in addition to those of the pipeline itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from gdd_plugin.decoders.exact import crop
from gdd_plugin.decoders.images import to_size
from gdd_plugin.training.prompts import Tokens

# The timestep of a single step with trailing spacing.
LAST_TIMESTEP = 999
# Channels of the feature network's layers.
WIDTHS = (32, 64, 96, 128)
# Channels of the discriminator's heads.
EMBEDDING = 32


class Denoiser(nn.Module):
    """The UNet and text encoders of an SDXL pipeline, which estimate clean latents from noisy ones.

    Attributes:
        alpha, sigma: scale of signal and noise at each timestep, [1000]; their squares sum to 1.
    """

    alpha: Tensor
    sigma: Tensor

    def __init__(self, pipe: Any) -> None:
        super().__init__()
        self.unet = pipe.unet
        self.text_encoder, self.text_encoder_2 = pipe.text_encoder, pipe.text_encoder_2
        self.prediction = pipe.scheduler.config.prediction_type
        self.register_buffer("alpha", pipe.scheduler.alphas_cumprod.sqrt(), persistent=False)
        self.register_buffer("sigma", (1 - pipe.scheduler.alphas_cumprod).sqrt(), persistent=False)
        self.scale = pipe.vae_scale_factor

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tokens) -> Tensor:
        """Estimate the clean scaled latents.

        Args:
            noisy: alpha * clean latents + sigma * unit noise, [n, c, h, w].
            timesteps: [n].
            tokens: tokens of k prompts, each of which applies to n / k consecutive samples.

        Returns:
            [n, c, h, w].
        """
        dtype = self.unet.conv_in.weight.dtype
        embeddings, pooled = (kind.to(dtype) for kind in self.embed(tokens))
        count = len(noisy) // len(embeddings)
        height, width = (side * self.scale for side in noisy.shape[-2:])
        sizes = pooled.new_tensor([height, width, 0, 0, height, width]).expand(len(noisy), 6)
        conditions = {"text_embeds": pooled.repeat_interleave(count, 0), "time_ids": sizes}
        output = self.unet(
            noisy.to(dtype),
            timesteps,
            embeddings.repeat_interleave(count, 0),
            added_cond_kwargs=conditions,
        ).sample.float()
        alpha, sigma = _per_sample(self.alpha, timesteps), _per_sample(self.sigma, timesteps)
        if self.prediction == "v_prediction":
            return alpha * noisy - sigma * output
        return (noisy - sigma * output) / alpha

    def embed(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return token embeddings [k, length, width] and pooled embeddings [k, width]."""
        first = self.text_encoder(tokens[0], output_hidden_states=True)
        second = self.text_encoder_2(tokens[1], output_hidden_states=True)
        embeddings = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        return embeddings, second.text_embeds

    def one_step(self, noise: Tensor, tokens: Tokens) -> Tensor:
        """Return clean scaled latents from unit ``noise``, as the pipeline's single step does."""
        timesteps = torch.full((len(noise),), LAST_TIMESTEP, device=noise.device)
        return self(noise * self.sigma[LAST_TIMESTEP], timesteps, tokens)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Add unit ``noise`` to ``clean`` latents, both [n, c, h, w], at ``timesteps`` [n]."""
        alpha, sigma = _per_sample(self.alpha, timesteps), _per_sample(self.sigma, timesteps)
        return alpha * clean + sigma * noise


def _per_sample(values: Tensor, timesteps: Tensor) -> Tensor:
    """Return ``values`` at ``timesteps`` [n], with shape [n, 1, 1, 1]."""
    return values[timesteps][:, None, None, None]


class Generator(nn.Module):
    """A denoiser and a decoder, which turn unit noise and prompts into pictures for a dataset.

    Attributes:
        shape: (c, h, w) of one sample's noise and latents.
    """

    def __init__(
        self, denoiser: Denoiser, vae: AutoencoderKL, channels: int, size: int, border: int
    ) -> None:
        """Combine the networks.

        Args:
            denoiser: network that generates latents in one step.
            vae: autoencoder whose decoder turns latents into images.
            channels: number of channels of the pictures.
            size: height and width of the pictures in pixels.
            border: pixels to crop from each side of the decoded images.
        """
        super().__init__()
        self.denoiser, self.vae = denoiser, vae
        self.channels, self.size, self.border = channels, size, border
        unet = denoiser.unet.config
        self.shape = (unet.in_channels, unet.sample_size, unet.sample_size)

    def forward(self, noise: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return scaled latents [n, c, h, w], and pictures [n, C, S, S] around [-1, 1]."""
        latents = self.denoiser.one_step(noise, tokens)
        return latents, self.pictures(latents)

    def pictures(self, latents: Tensor) -> Tensor:
        """Decode scaled latents to pictures [n, C, S, S] around [-1, 1]."""
        # bfloat16 is faster than float32, and SDXL's decoder overflows in float16.
        with torch.autocast(latents.device.type, torch.bfloat16):
            pixels = self.vae.decode(latents / self.vae.config.scaling_factor).sample.float()
        return to_size(crop(pixels, self.border), self.size, self.channels)


class FeatureNetwork(nn.Module):
    """A classifier of pictures whose layers are used as features in the losses.

    The first layer keeps the image size. Each of the other layers halves it.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        layers = []
        inputs = channels
        for index, width in enumerate(WIDTHS):
            stride = 2 if index else 1
            convolution = nn.Conv2d(inputs, width, 3, stride=stride, padding=1)
            layers.append(nn.Sequential(convolution, nn.GroupNorm(8, width), nn.SiLU()))
            inputs, size = width, (size + stride - 1) // stride
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(WIDTHS[-1] * size**2, classes)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the layer outputs and the logits for pictures [n, C, S, S] in [-1, 1]."""
        features = []
        for layer in self.layers:
            pictures = layer(pictures)
            features.append(pictures)
        return features, self.head(pictures.flatten(1))

    def randomize(self) -> None:
        """Reinitialise the layers with random weights (He et al. 2015)."""
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.1)
            elif isinstance(module, nn.GroupNorm):
                module.reset_parameters()


class Discriminator(nn.Module):
    """A small head on each layer of `FeatureNetwork` except the first, conditioned on the class.

    The output of a head at each position is a linear term plus a projection on the embedding of the
    class (Miyato & Koyama 2018). The first layer has no head, because it is so large that its head
    would cost more than all the others.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = WIDTHS[1:]
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, EMBEDDING, 3, padding=1), nn.GroupNorm(8, EMBEDDING), nn.SiLU()
            )
            for width in widths
        )
        self.outputs = nn.ModuleList(nn.Conv2d(EMBEDDING, 1, 1) for _ in widths)
        self.classes = nn.ModuleList(nn.Embedding(classes, EMBEDDING) for _ in widths)

    def forward(self, layers: Sequence[Tensor], labels: Tensor) -> list[Tensor]:
        """Return the outputs of each head, [n, positions].

        Args:
            layers: outputs of the feature network's layers except the first.
            labels: class labels, [n].
        """
        results = []
        for layer, head, output, classes in zip(
            layers, self.heads, self.outputs, self.classes, strict=True
        ):
            hidden = head(layer)
            projection = (hidden * classes(labels)[:, :, None, None]).sum(1) / EMBEDDING**0.5
            results.append((output(hidden).squeeze(1) + projection).flatten(1))
        return results
