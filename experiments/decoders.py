"""Print how close fitted decoders come to the exact one, for docs/experiments.md.

    python experiments/decoders.py

It takes a minute on one core. Images are turbo-mini's, of 10 classes. The PSNR is that
of other images than the decoders are fitted to.
"""

import time
from collections.abc import Iterator

import torch

from benchmark_adapters.datasets import FASHION_MNIST
from gdd_plugin.decoders.exact import exact_decoder
from gdd_plugin.decoders.fidelity import Fidelity
from gdd_plugin.decoders.fitted import convolutional
from gdd_plugin.decoders.fitted.convolutional import ConvolutionalDecoder
from gdd_plugin.decoders.fitted.ridge import RidgeDecoder
from gdd_plugin.decoders.images import OutputSpec
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator

SIZES, STEPS, OTHERS = (28, 14, 7), (500, 1000, 2000), 128


def main() -> None:
    """Print a row for each size, map, and number of exact decodes or steps."""
    torch.set_num_threads(1)
    turbo = TurboSampler("turbo-mini")
    samples = ConvolutionalDecoder.samples
    labels = torch.arange(samples + OTHERS) % 10
    latents = turbo.latents(
        [FASHION_MNIST.class_names[label] for label in labels],
        [seeded_generator(0, int(label), index) for index, label in enumerate(labels)],
    )
    print("size  map  PSNR  worst image  sharpness  seconds")
    for size in SIZES:
        output = OutputSpec(size, 1, turbo.border)
        pixels = exact_decoder(turbo.pipe, output)(latents)
        for name, kind, count in _maps():
            start = time.monotonic()
            decode = kind(latents[:count], pixels[:count], output, turbo.size)
            seconds = time.monotonic() - start
            found = Fidelity.of(decode(latents[samples:]), pixels[samples:], labels[samples:])
            print(
                f"{size}  {name}  {found.psnr:.1f}  {found.worst_image:.1f}  "
                f"{found.sharpness:.2f}  {seconds:.1f}",
                flush=True,
            )


def _maps() -> Iterator[tuple[str, type[RidgeDecoder] | type[ConvolutionalDecoder], int]]:
    """Yield the name of each map, its kind, and the number of exact decodes to fit to."""
    for count in (RidgeDecoder.samples, ConvolutionalDecoder.samples):
        yield f"ridge, {count} decodes", RidgeDecoder, count
    for convolutional.STEPS in STEPS:
        name = f"convolutional, {convolutional.STEPS} steps"
        yield name, ConvolutionalDecoder, ConvolutionalDecoder.samples


if __name__ == "__main__":
    main()
