"""Train the feature network, a classifier of real pictures that stays frozen in later stages."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gdd_plugin.training.data import RealImages
from gdd_plugin.training.loop import TrainingLoop
from gdd_plugin.training.networks import FeatureNetwork
from gdd_plugin.training.run import TrainingRun
from gdd_plugin.training.settings import StageSettings

# Largest shift of the pictures in pixels.
MAX_SHIFT = 2
# Largest standard deviation of the noise.
NOISE = 0.1


def train_features(images: RealImages, settings: StageSettings, run: TrainingRun) -> FeatureNetwork:
    """Train the classifier with shifts, mirroring and noise, and return it frozen."""
    dataset = images.dataset
    network = FeatureNetwork(dataset.channels, dataset.image_size, dataset.num_classes)
    loop = TrainingLoop(
        run,
        "features",
        settings.steps,
        network.to(run.device),
        settings.lr,
        weight_decay=0.05,
        ema=settings.ema,
    )
    for _ in loop:
        indices = torch.randint(len(images.labels), (settings.batch,))
        logits = loop.network(_augment(images.pictures(indices)))[1]
        labels = images.labels[indices].to(logits.device)
        loop.update(F.cross_entropy(logits, labels, label_smoothing=0.1))
    return network.eval().requires_grad_(False)


def _augment(pictures: Tensor) -> Tensor:
    """Add noise of random strength, shift the whole batch and mirror each picture at random."""
    count = len(pictures)
    noisy = pictures + NOISE * torch.rand(count, 1, 1, 1) * torch.randn_like(pictures)
    shift = [int(pixels) for pixels in torch.randint(-MAX_SHIFT, MAX_SHIFT + 1, (2,))]
    shifted = noisy.roll(shift, (2, 3))
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, shifted.flip(3), shifted)
