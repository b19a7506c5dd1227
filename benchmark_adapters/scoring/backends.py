"""Training backends: the evaluators' plain loop, and faster ones that equal it up to rounding."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters import memory
from benchmark_adapters.scoring.backend_names import Backend, BackendName
from benchmark_adapters.scoring.cpu import fused, winograd
from benchmark_adapters.scoring.students import ConvNet

# Number of image passes through the student from which compiling pays off. Compiling takes 20 to
# 50 s and saves 1 to 1.4 ms per pass.
MIN_COMPILED_PASSES = 50_000
# Images per test batch where microbatches don't pay off.
TEST_BATCH_SIZE = 1000

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
Function = TypeVar("Function", bound=Callable[..., Tensor])


class TrainingBackend:
    """The gradient computation for training one student.

    Attributes:
        planned: the backend at the start of training.
        used: the backend at the end of training.
        fallback: why ``used`` is slower than planned or requested; None: it isn't.
        memory_format: memory format for the student's weights.
    """

    def __init__(
        self,
        student: nn.Module,
        device: torch.device,
        batch_size: int,
        passes: int,
        requested: Backend = "auto",
        tf32: bool = False,
    ) -> None:
        """Choose the backend.

        Args:
            student: the network to train.
            device: the device to train it on.
            batch_size: the largest number of images in a batch.
            passes: number of images shown to the student during training, counting repeats.
            requested: ``auto`` compiles from `MIN_COMPILED_PASSES` passes on.
            tf32: whether convolutions round their operands to TF32 on a GPU.
        """
        self.planned = _plan(student, device, passes, requested)
        self.used = self.planned
        self.fallback: str | None = None
        if requested == "fast" and device.type == "mps":
            self.fallback = "torch.compile is not used on MPS"
        self.memory_format = _memory_format(device, requested, tf32)
        self._is_reference = requested == "reference"
        self._microbatch_size: int | None = None
        if not self._is_reference and device.type == "cpu":
            memory.keep_freed_memory()
        if not self._is_reference and fused.is_batch_independent(student):
            self._microbatch_size = _microbatch_size(student, device, batch_size, self.planned)
        self._eager: BackendName = _plan(student, device, 0, "auto")
        self._loss = _loss_of(self.planned, device)

    def add_gradients(self, student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Add the gradients of a batch's mean cross-entropy to the student's; return the mean.

        Args:
            student: the network that the backend was chosen for.
            images: float32 [n, C, H, W].
            labels: int64 [n].
        """
        total = torch.zeros((), device=images.device)
        if not self._is_reference:
            # Augmentations return images in several formats. Each would be compiled.
            images = torch.empty_like(images, memory_format=self.memory_format).copy_(images)
        size = self._microbatch_size or len(labels)
        for part, classes in fused.microbatches(images, labels, size):
            total += self._add_part(student, part, classes, len(labels))
        return total

    def _add_part(self, student: nn.Module, images: Tensor, labels: Tensor, count: int) -> Tensor:
        """Add the gradients of some of a batch's ``count`` images; return their share of the mean.

        Compilers can fail in many ways. The eager loss works after any of them.
        """
        try:
            return _backward(self._loss(student, images, labels) / count)
        except Exception as error:
            if self._loss is _eager_loss:
                raise
            self.used = self._eager
            self.fallback = f"torch.compile failed: {type(error).__name__}"
            warnings.warn(
                f"training without torch.compile, which failed: {type(error).__name__}",
                stacklevel=2,
            )
            self._loss = _eager_loss
        return _backward(_eager_loss(student, images, labels) / count)


def _backward(loss: Tensor) -> Tensor:
    loss.backward()
    return loss.detach()


def _memory_format(device: torch.device, requested: Backend, tf32: bool) -> torch.memory_format:
    """Return the faster memory format. On a GPU, that is the plain one for float32 without TF32."""
    is_plain = requested == "reference" or (device.type == "cuda" and not tf32)
    return torch.contiguous_format if is_plain else torch.channels_last


def _microbatch_size(
    student: nn.Module, device: torch.device, batch_size: int, backend: BackendName
) -> int | None:
    """Return how many images of a batch to pass through the student at once; None: all of them.

    Compiled losses get whole microbatches only, so that one shape is compiled.
    """
    if backend == "plain":
        return None
    if device.type != "cpu" or not fused.is_faster(student):
        return batch_size
    compiled_size = fused.compiled_microbatch_size(batch_size)
    return fused.MICROBATCH_SIZE if backend == "fused" else compiled_size


def _plan(student: nn.Module, device: torch.device, passes: int, requested: Backend) -> BackendName:
    if requested == "reference":
        return "plain"
    on_cpu = device.type == "cpu"
    compiles = requested == "fast" or passes >= MIN_COMPILED_PASSES
    if compiles and device.type != "mps":
        return "winograd" if on_cpu and winograd.is_faster(student) else "compiled"
    return "fused" if on_cpu and fused.is_faster(student) else "plain"


def feature_function(compiled: bool, device: str) -> Callable[[ConvNet, Tensor], Tensor]:
    """Return a function (student, images) -> features, the inputs of the student's last layer.

    It maps float32 [n, C, H, W] to float32 [n, d], and is differentiable with respect to the images
    and the weights. The ``compiled`` function is compiled again for each shape. On a CPU, several
    threads can call it at the same time.
    """
    if not compiled:
        return _features
    if device == "cpu":
        return _compiled(_features_on_cpu, in_threads=True)
    return _compiled(_features)


def _features(student: ConvNet, images: Tensor) -> Tensor:
    return student.features(images).flatten(1)


def _features_on_cpu(student: ConvNet, images: Tensor) -> Tensor:
    """Return the features, with the convolution of few channels as a matrix product.

    For the others of a narrow student, Winograd's algorithm is no faster with AVX2, and slower with
    AVX-512.
    """
    for layer in student.features:
        if isinstance(layer, nn.Conv2d) and layer.in_channels < winograd.MIN_CHANNELS:
            images = winograd.convolve(layer, images)
        else:
            images = layer(images)
    return images.flatten(1)


def inference_batch_size(student: nn.Module, device: torch.device, backend: Backend) -> int:
    """Return how many images to pass through the student at once when testing it."""
    uses_microbatches = backend != "reference" and device.type == "cpu" and fused.is_faster(student)
    return fused.MICROBATCH_SIZE if uses_microbatches else TEST_BATCH_SIZE


def _loss_of(backend: BackendName, device: torch.device) -> Loss:
    if backend == "winograd":
        return _compiled(_winograd_loss)
    if backend == "compiled":
        # A CUDA graph starts all operations of a step at once. One by one, they wait for Python.
        return _compiled(_eager_loss, "reduce-overhead" if device.type == "cuda" else None)
    return _eager_loss


def _eager_loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return _summed_cross_entropy(student(images), labels)


def _winograd_loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    assert isinstance(student, ConvNet)
    return _summed_cross_entropy(winograd.logits(student, images), labels)


def _summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="sum", ignore_index=fused.IGNORED_LABEL)


@functools.cache
def _compiled(function: Function, mode: str | None = None, in_threads: bool = False) -> Function:
    """Return a compiled function. All seeds and students share it, so each shape compiles once.

    Args:
        function: what to compile.
        mode: that of `torch.compile`.
        in_threads: whether several threads call it at the same time.
    """
    # A wrapper in Python keeps the interpreter's lock while kernels run; one in C++ releases it.
    options: dict[str, Any] | None = {"cpp_wrapper": True} if in_threads else None
    # This logger warns about missing CUDA on every machine without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    torch._dynamo.config.recompile_limit = 64
    return cast(Function, torch.compile(function, dynamic=False, mode=mode, options=options))
