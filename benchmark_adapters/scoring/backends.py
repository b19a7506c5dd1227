"""Training backends: the evaluators' plain loop, and faster ones that equal it up to rounding."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark_adapters.scoring.backend_names import Backend, BackendName
from benchmark_adapters.scoring.cpu import fused, memory, winograd
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
    ) -> None:
        """Choose the backend.

        Args:
            student: the network to train.
            device: the device to train it on.
            batch_size: the largest number of images in a batch.
            passes: number of images shown to the student during training, counting repeats.
            requested: ``auto`` compiles from `MIN_COMPILED_PASSES` passes on.
        """
        self.planned = _plan(student, device, passes, requested)
        self.used = self.planned
        self.fallback: str | None = None
        if requested == "fast" and device.type == "mps":
            self.fallback = "torch.compile is not used on MPS"
        is_reference = requested == "reference"
        self.memory_format = torch.contiguous_format if is_reference else torch.channels_last
        self._microbatch_size: int | None = None
        if not is_reference and device.type == "cpu":
            memory.keep_freed_memory()
            if fused.is_faster(student):
                self._microbatch_size = (
                    fused.MICROBATCH_SIZE
                    if self.planned == "fused"
                    else fused.compiled_microbatch_size(batch_size)
                )
        self._loss = _loss_of(self.planned)

    def add_gradients(self, student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Add the gradients of a batch's mean cross-entropy to the student's; return the mean.

        Args:
            student: the network that the backend was chosen for.
            images: float32 [n, C, H, W].
            labels: int64 [n].
        """
        total = torch.zeros((), device=images.device)
        size = self._microbatch_size or len(labels)
        for part, classes in fused.microbatches(images, labels, size):
            loss = self._compute_loss(student, part, classes) / len(labels)
            loss.backward()
            total += loss.detach()
        return total

    def _compute_loss(self, student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        if self._loss is _eager_loss:
            return _eager_loss(student, images, labels)
        try:
            return self._loss(student, images, labels)
        # Compilers can fail in many ways. The eager loss works after any of them.
        except Exception as error:
            self.used = "fused" if self._microbatch_size else "plain"
            self.fallback = f"torch.compile failed: {type(error).__name__}"
            warnings.warn(
                f"training without torch.compile, which failed: {type(error).__name__}",
                stacklevel=2,
            )
            self._loss = _eager_loss
            return _eager_loss(student, images, labels)


def _plan(student: nn.Module, device: torch.device, passes: int, requested: Backend) -> BackendName:
    if requested == "reference":
        return "plain"
    on_cpu = device.type == "cpu"
    compiles = requested == "fast" or passes >= MIN_COMPILED_PASSES
    if compiles and device.type != "mps":
        return "winograd" if on_cpu and winograd.is_faster(student) else "compiled"
    return "fused" if on_cpu and fused.is_faster(student) else "plain"


def feature_function(compiled: bool) -> Callable[[ConvNet, Tensor], Tensor]:
    """Return a function (student, images) -> features, the inputs of the student's last layer.

    It maps float32 [n, C, H, W] to float32 [n, d], and is differentiable with respect to the images
    and the weights. The ``compiled`` function is compiled again for each shape, and on a CPU it
    uses Winograd's convolutions.
    """
    return _compiled(_features) if compiled else _eager_features


def _eager_features(student: ConvNet, images: Tensor) -> Tensor:
    return student.features(images).flatten(1)


def _features(student: ConvNet, images: Tensor) -> Tensor:
    on_cpu = images.device.type == "cpu"
    return winograd.features(student, images) if on_cpu else _eager_features(student, images)


def inference_batch_size(student: nn.Module, device: torch.device, backend: Backend) -> int:
    """Return how many images to pass through the student at once when testing it."""
    uses_microbatches = backend != "reference" and device.type == "cpu" and fused.is_faster(student)
    return fused.MICROBATCH_SIZE if uses_microbatches else TEST_BATCH_SIZE


def deterministic_convolutions() -> AbstractContextManager[None]:
    """Make CUDA convolutions deterministic, and compute them in float32 without TF32."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def _loss_of(backend: BackendName) -> Loss:
    if backend == "winograd":
        return _compiled(_winograd_loss)
    return _compiled(_eager_loss) if backend == "compiled" else _eager_loss


def _eager_loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return _summed_cross_entropy(student(images), labels)


def _winograd_loss(student: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    assert isinstance(student, ConvNet)
    return _summed_cross_entropy(winograd.logits(student, images), labels)


def _summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits, labels, reduction="sum", ignore_index=fused.IGNORED_LABEL)


@functools.cache
def _compiled(function: Function) -> Function:
    """Return a compiled function. All seeds and students share it, so each shape compiles once."""
    # This logger warns about missing CUDA on every machine without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    torch._dynamo.config.recompile_limit = 64
    return cast(Function, torch.compile(function, dynamic=False))
