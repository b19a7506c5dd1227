"""The work of a training step at the speed of the hardware, equal to the plain way up to rounding.

On two CPU cores the plain way spends most of its time on moving activations to and from memory: those of 256 images in
the first block of convnet3 take 134 MB. Where a student treats each image by itself, the gradient of a batch is the sum
of the gradients of its pieces, and those of a few images stay in the caches. `torch.compile` then fuses normalisation,
activation and pooling, and makes the products that `winograd` needs worth their copies. `make bench` measures it all.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring.cpu import winograd
from benchmark_adapters.scoring.students import ConvNet

PIECE = 8  # images; on two machines 8 and 16 were equal, 4 and 32 slower
COMPILED_PIECE = (
    16  # 8 was a tenth to a sixth slower; 32 a third slower on one machine, equal on another
)
WORTH_COMPILING = 50_000  # images that go through the student in a training; compiling takes 20 to 50 s and saves 1 to 1.4 ms for each
KEPT = 512 * 2**20  # bytes of freed memory; a piece of convnet3 takes about 100 MB
KEPT_BEFORE = 32 * 2**20  # the largest block that glibc before 2.36 keeps
NO_CLASS = -100  # label of an image that only fills up a piece
BY_ITSELF = (nn.Conv2d, nn.GroupNorm, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d, nn.Linear, nn.Flatten)
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def gradients(
    student: nn.Module, device: torch.device, batch: int, passes: int
) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of a batch, images float32 [n, C, H, W] and labels int64 [n], that adds the gradient of its mean cross-entropy and returns the mean.

    ``batch``: the most images that it will be given; ``passes``: how many the training will show to the student in all. Where
    those are many, the work is compiled.
    """
    compiled = passes >= WORTH_COMPILING and device.type != "mps"
    size = piece(student, device, _even(batch, COMPILED_PIECE) if compiled else PIECE)
    step = _Step(compiled)
    if device.type == "cpu":
        _keep_memory()

    def add(images: Tensor, labels: Tensor) -> Tensor:
        total = torch.zeros((), device=images.device)
        for part, classes in _pieces(images, labels, size):
            loss = step(student, part, classes) / len(labels)
            loss.backward()
            total += loss.detach()
        return total

    return add


def piece(student: nn.Module, device: torch.device, size: int = PIECE) -> int | None:
    """How many images go through the student at once: ``size`` where pieces pay; None: the whole batch."""
    convolves = any(isinstance(layer, nn.Conv2d) for layer in student.modules())
    return size if device.type == "cpu" and convolves and treats_images_alone(student) else None


def _even(count: int, size: int) -> int:
    """About ``size``, so that ``count`` images fill their pieces."""
    return math.ceil(count / max(1, round(count / size)))


def treats_images_alone(student: nn.Module) -> bool:
    """Whether no image of a batch has an influence on another. Only known of plain stacks of known layers."""
    layers = [
        layer for layer in student.modules() if not isinstance(layer, nn.Sequential | ConvNet)
    ]
    return isinstance(student, ConvNet) and all(isinstance(layer, BY_ITSELF) for layer in layers)


def _keep_memory() -> None:
    """Lets glibc keep what is freed. It gives large blocks back at once, and a step would wait for thousands of new pages."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_threshold = -1, -3
        if mallopt(mmap_threshold, KEPT) or mallopt(mmap_threshold, KEPT_BEFORE):
            mallopt(trim_threshold, KEPT)


def exact() -> AbstractContextManager[None]:
    """On CUDA: float32 convolutions without TF32, the same in every run."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def _pieces(images: Tensor, labels: Tensor, size: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of equal shape, which is compiled once: the last is filled up with images that have no class."""
    if size is None or len(labels) <= size:
        yield images, labels
        return
    short = -len(labels) % size
    if short:
        images = torch.cat([images, images[:short]])
        labels = F.pad(labels, (0, short), value=NO_CLASS)
    for part, classes in zip(images.split(size), labels.split(size), strict=True):
        yield part.contiguous(memory_format=torch.channels_last), classes


def _loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The sum over a piece."""
    return F.cross_entropy(student(images), labels, reduction="sum", ignore_index=NO_CLASS)


def _fused_loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """`_loss` in the form that is worth compiling."""
    if not isinstance(student, ConvNet) or images.device.type != "cpu":
        return _loss(student, images, labels)
    for layer in student.features:
        images = winograd.convolve(layer, images) if isinstance(layer, nn.Conv2d) else layer(images)
    return F.cross_entropy(
        student.classifier(images.flatten(1)), labels, reduction="sum", ignore_index=NO_CLASS
    )


class _Step:
    """`_loss`, compiled where that is asked for and a compiler is there."""

    def __init__(self, compiled: bool) -> None:
        self.loss: Loss = _compiled_loss() if compiled else _loss

    def __call__(self, student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if self.loss is _loss:
            return _loss(student, images, labels)
        try:
            return self.loss(student, images, labels)
        except (
            Exception
        ) as error:  # compilers fail in many ways, and each leaves the plain way open
            warnings.warn(
                f"training without torch.compile, which failed: {type(error).__name__}",
                stacklevel=2,
            )
            self.loss = _loss
            return _loss(student, images, labels)


@functools.cache
def _compiled_loss() -> Loss:
    """One for all seeds and students, so that each shape of each is compiled once."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(
        logging.ERROR
    )  # it warns of a missing CUDA on every CPU
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(_fused_loss, dynamic=False)
