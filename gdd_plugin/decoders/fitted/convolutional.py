"""A fitted decoder for runs of many images: a small convolutional network."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdd_plugin.decoders.fitted.grid import Grid
from gdd_plugin.decoders.images import OutputSpec

WIDTH = 64
# Steps of training, images in each, and the highest learning rate. At three times this rate,
# training sometimes diverges.
STEPS, BATCH, LEARNING_RATE = 2000, 32, 3e-3


class ConvolutionalDecoder:
    """A direct map from latents to pixels: three 3x3 convolutions on the positions of a `Grid`.

    Attributes:
        map: name of this kind of map.
        samples: number of exact decodes to fit to.
    """

    map, samples = "convolutional", 512

    def __init__(
        self, latents: Tensor, pixels: Tensor, output: OutputSpec, image_size: int
    ) -> None:
        """Fit the map to exactly decoded pixels. The arguments are those of `RidgeDecoder`."""
        self.grid = Grid.of(latents, output, image_size)
        inputs, targets = self.grid.inputs(latents), self.grid.targets(pixels)
        # In a thread that uses a single core, sums do not depend on how many cores there are. And
        # the caller's inference mode, in which nothing can be trained, does not hold there.
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            self.network = pool.submit(_train, inputs, targets).result()

    @torch.inference_mode()
    def __call__(self, latents: Tensor) -> Tensor:
        """Decode latents [n, c, h, h] to pixels in [0, 255], float32 [n, channels, size, size]."""
        inputs = self.grid.inputs(latents).contiguous(memory_format=torch.channels_last)
        outputs: Tensor = self.network(inputs)
        return self.grid.pixels(outputs)


def _train(inputs: Tensor, targets: Tensor) -> nn.Module:
    """Return a network that maps ``inputs`` to ``targets``, both [n, channels, side, side].

    It is the same for the same values, in every process on machines of the same kind. Therefore
    it has its own random numbers, and the order of sums is fixed. Padding with zeros inside the
    network is part of that: on CUDA, gradients of other padding are summed in any order.
    """
    # Gradients cannot flow through tensors that were made in inference mode, but through copies.
    inputs, targets = (
        values.clone(memory_format=torch.channels_last) for values in (inputs, targets)
    )
    source = torch.Generator().manual_seed(0)
    network = _initial(inputs.shape[1], targets.shape[1], source).to(inputs.device)
    network.to(memory_format=torch.channels_last)
    choices = torch.randint(len(inputs), (STEPS, BATCH), generator=source).to(inputs.device)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        for chosen in choices:
            loss = F.mse_loss(network(inputs[chosen]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.requires_grad_(False)


def _initial(channels: int, outputs: int, source: torch.Generator) -> nn.Module:
    """Return the network with random weights from ``source``."""
    widths = (channels, WIDTH, WIDTH, outputs)
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        # `nn.Conv2d` itself would draw such weights from the global random numbers.
        layer = nn.utils.skip_init(nn.Conv2d, width, following, 3, padding=1)
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=source)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-1])
