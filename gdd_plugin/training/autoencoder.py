"""The autoencoder of turbo-mini, and latents of real images."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from tqdm import tqdm

from gdd_plugin.training.data import Real
from gdd_plugin.training.journal import Journal, Schedule, Stage

KL, SQUARED = 1e-4, 2.0


class Reconstruction(nn.Module):
    """Pixels to their reconstruction from sampled latents, and the latents' divergence from a unit normal per element."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        # Convolutions in bfloat16 take 60 % of float32's time on a CPU that has the instructions.
        with torch.autocast(pixels.device.type, torch.bfloat16):
            posterior = self.vae.encode(pixels).latent_dist
            return self.vae.decode(
                posterior.sample()
            ).sample.float(), posterior.kl().float().mean() / posterior.mean[0].numel()


def train_autoencoder(vae: AutoencoderKL, real: Real, chosen: Schedule, journal: Journal) -> None:
    """Absolute and squared error with a slight pull of the latents to a unit normal."""
    stage = Stage(
        journal, "autoencoder", chosen.steps, Reconstruction(vae), chosen.lr, ema=chosen.ema
    )
    for _ in stage:
        pixels = to_pixels(
            real.pictures(torch.randint(len(real.labels), (chosen.batch,))), vae.config.sample_size
        )
        reconstructed, divergence = stage.net(pixels)
        difference = reconstructed - pixels
        stage.learn(
            difference.abs().mean() + SQUARED * difference.square().mean() + KL * divergence
        )
    vae.eval().requires_grad_(False)


def to_pixels(pictures: Tensor, side: int) -> Tensor:
    """[n, C, S, S] in [-1, 1] to RGB [n, 3, side, side] with a black border."""
    return F.pad(pictures.expand(-1, 3, -1, -1), ((side - pictures.shape[-1]) // 2,) * 4, value=-1)


@torch.no_grad()
def encode(vae: AutoencoderKL, real: Real) -> Tensor:
    """Latents [N, c, h, w] of all real images, the posterior's mode, not scaled."""
    parts = torch.arange(len(real.labels)).split(500)
    return torch.cat(
        [
            vae.encode(to_pixels(real.pictures(part), vae.config.sample_size))
            .latent_dist.mode()
            .cpu()
            for part in tqdm(parts, desc="encoding")
        ]
    )
