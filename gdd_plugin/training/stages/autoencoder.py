"""Train the autoencoder of turbo-mini, and encode real images with it."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from tqdm import tqdm

from gdd_plugin.training.data import RealImages
from gdd_plugin.training.loop import TrainingLoop
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import StageSettings

DIVERGENCE_WEIGHT, SQUARED_ERROR_WEIGHT = 1e-4, 2.0
# Images to encode at once.
ENCODE_BATCH = 500


class Reconstruction(nn.Module):
    """The encoder followed by the decoder."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct pixels [n, 3, h, w] from sampled latents.

        Returns:
            The reconstruction [n, 3, h, w], and the divergence of the latents from a unit normal
            per element.
        """
        # On a CPU with bfloat16 instructions, convolutions take 60 % of the time that they take in
        # float32.
        with torch.autocast(pixels.device.type, torch.bfloat16):
            posterior = self.vae.encode(pixels).latent_dist
            reconstruction = self.vae.decode(posterior.sample()).sample.float()
            divergence = posterior.kl().float().mean() / posterior.mean[0].numel()
        return reconstruction, divergence


def train_autoencoder(
    vae: AutoencoderKL, images: RealImages, settings: StageSettings, run: TrainingRun
) -> None:
    """Train ``vae`` on the absolute and squared error, then freeze it.

    A small weight on the divergence keeps the latents close to a unit normal.
    """
    loop = TrainingLoop(
        run, "autoencoder", settings.steps, Reconstruction(vae), settings.lr, ema=settings.ema
    )
    for _ in loop:
        indices = torch.randint(len(images.labels), (settings.batch,))
        pixels = to_pixels(images.pictures(indices), vae.config.sample_size)
        reconstruction, divergence = loop.network(pixels)
        error = reconstruction - pixels
        loop.update(
            error.abs().mean()
            + SQUARED_ERROR_WEIGHT * error.square().mean()
            + DIVERGENCE_WEIGHT * divergence
        )
    vae.eval().requires_grad_(False)


def to_pixels(pictures: Tensor, side: int) -> Tensor:
    """Convert [n, C, S, S] in [-1, 1] to RGB [n, 3, side, side] with a black border."""
    border = (side - pictures.shape[-1]) // 2
    return F.pad(pictures.expand(-1, 3, -1, -1), (border,) * 4, value=-1)


@torch.no_grad()
def encode(vae: AutoencoderKL, images: RealImages) -> Tensor:
    """Return the unscaled latents of all images, the modes of the posterior.

    They are [N, c, h, w] on the CPU.
    """
    latents = []
    for indices in tqdm(torch.arange(len(images.labels)).split(ENCODE_BATCH), desc="encoding"):
        pixels = to_pixels(images.pictures(indices), vae.config.sample_size)
        latents.append(vae.encode(pixels).latent_dist.mode().cpu())
    return torch.cat(latents)
