"""A frozen network trained on the dataset, whose layers serve all the losses, and the discriminator's heads on them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdd_plugin.training.data import Real
from gdd_plugin.training.journal import Journal, Schedule, Stage

WIDTHS = (32, 64, 96, 128)
EMBEDDING = 32


class Features(nn.Module):
    """A classifier of pictures [n, channels, size, size] in [-1, 1]; ``forward`` gives its four layers and the logits.

    The first layer keeps the size, each next one halves it.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        layers = []
        for index, width in enumerate(WIDTHS):
            convolution = nn.Conv2d(
                WIDTHS[index - 1] if index else channels,
                width,
                3,
                stride=2 if index else 1,
                padding=1,
            )
            layers.append(nn.Sequential(convolution, nn.GroupNorm(8, width), nn.SiLU()))
            size = (size + 1) // 2 if index else size
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(WIDTHS[-1] * size**2, classes)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        for layer in self.layers:
            pictures = layer(pictures)
            features.append(pictures)
        return features, self.head(pictures.flatten(1))

    def draw(self) -> None:
        """Forgets all training: new random convolutions (He et al. 2015)."""
        for module in self.layers.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=0.1)
            elif isinstance(module, nn.GroupNorm):
                module.reset_parameters()


class Discriminator(nn.Module):
    """A small head on each layer of `Features` but the first, whose size would cost more than all others; conditioned on the class.

    A head gives an output per place: a linear one plus the projection on the class's embedding (Miyato & Koyama 2018).
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
        """Outputs [n, places] of each head, from all but the first of `Features`' layers and the classes ``labels`` [n]."""
        results = []
        for layer, head, output, classes in zip(
            layers, self.heads, self.outputs, self.classes, strict=True
        ):
            hidden = head(layer)
            projection = (hidden * classes(labels)[:, :, None, None]).sum(1) / EMBEDDING**0.5
            results.append((output(hidden).squeeze(1) + projection).flatten(1))
        return results


def train_features(real: Real, chosen: Schedule, journal: Journal) -> Features:
    """Trains the classifier on real pictures under shifts, mirroring and noise, and freezes it."""
    net = Features(real.dataset.channels, real.dataset.image_size, real.dataset.num_classes).to(
        journal.accelerator.device
    )
    stage = Stage(
        journal, "features", chosen.steps, net, chosen.lr, weight_decay=0.05, ema=chosen.ema
    )
    for _ in stage:
        drawn = torch.randint(len(real.labels), (chosen.batch,))
        logits = stage.net(_disturbed(real.pictures(drawn)))[1]
        stage.learn(
            F.cross_entropy(logits, real.labels[drawn].to(logits.device), label_smoothing=0.1)
        )
    return net.eval().requires_grad_(False)


def _disturbed(pictures: Tensor) -> Tensor:
    """Noise of random strength, one shift by up to 2 pixels for the batch, half of it mirrored."""
    noisy = pictures + 0.1 * torch.rand(len(pictures), 1, 1, 1) * torch.randn_like(pictures)
    shifted = noisy.roll([int(by) for by in torch.randint(-2, 3, (2,))], (2, 3))
    return torch.where(torch.rand(len(pictures), 1, 1, 1) < 0.5, shifted.flip(3), shifted)
