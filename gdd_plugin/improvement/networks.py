"""Small networks for the regression's features, trained for a short time on the current set."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark_adapters import students, training
from benchmark_adapters.students import ConvNet
from benchmark_adapters.types import Task

# A network of this width costs a quarter of one of width 128, and sets that were improved with it
# suit both.
WIDTH = 64
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
# Images that pass through a network at once. On a CPU their activations stay in the caches.
CPU_BATCH = 20
ACCELERATOR_BATCH = 256
# Activations that the gradient of images needs: bytes for each pixel of one of their channels. A
# set of 5,000 images of 28x28 pixels took 970.
ACTIVATION_BYTES = 1000
# Share of the memory that activations may take.
MAX_MEMORY_SHARE = 0.5

T = TypeVar("T")
R = TypeVar("R")


class Networks:
    """Builds networks, trains them and computes their features, several at the same time.

    Attributes:
        recipe: the recipe that the set is improved for.
        augment: its augmentation of normalised images, float32 [n, C, S, S].
        batch: images that pass through a network at once.
        compiled: whether the networks are compiled.
    """

    def __init__(self, task: Task, compiled: bool) -> None:
        """Prepare for the dataset and the recipe of ``task``; ``compiled`` uses torch.compile."""
        assert task.recipe
        self._dataset, self._device, self.recipe = task.dataset, task.device, task.recipe
        self._memory_limit = task.memory
        self._features = training.feature_function(compiled, task.device)
        self.compiled = compiled
        self.augment: Callable[[Tensor], Tensor] = training.AUGMENTATIONS[task.recipe.augment]
        on_cpu = task.device == "cpu"
        self.batch = CPU_BATCH if on_cpu else ACCELERATOR_BATCH
        # Two networks on a core each are faster than one on two cores.
        self._workers = min(2, torch.get_num_threads()) if on_cpu else 1
        self._pool = ThreadPoolExecutor(
            self._workers,
            initializer=torch.set_num_threads,
            initargs=(torch.get_num_threads() // self._workers,),
        )
        if compiled:
            self._try_to_compile()

    def map(self, function: Callable[..., R], *arguments: Iterable[T]) -> list[R]:
        """Return the results of ``function`` for each network, computed concurrently.

        The function must not draw random numbers, because threads share torch's generator.
        """
        return list(self._pool.map(function, *arguments))

    def has_memory_for_activations(self, images: Tensor) -> bool:
        """Return whether the networks that run at once can keep the activations of all images.

        It depends on the memory of the machine and not on what is free, so that every run there
        does the same: compiled networks round differently if they keep activations.
        """
        if images.device.type == "cuda":
            _, memory = torch.cuda.mem_get_info(images.device)
        else:
            total = psutil.virtual_memory().total
            memory = min(total, self._memory_limit or total)
        needed = self._workers * images[:, 0].numel() * ACTIVATION_BYTES
        return needed < MAX_MEMORY_SHARE * memory

    def build(self, seed: int) -> ConvNet:
        """Return a network with initial weights drawn from ``seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = students.build(
                "convnet3",
                self._dataset.num_classes,
                self._dataset.image_size,
                self._dataset.channels,
                WIDTH,
            )
        assert isinstance(net, ConvNet)
        return net.to(self._device)

    def features(self, net: ConvNet, images: Tensor) -> Tensor:
        """Return the features [n, d] of normalised images; differentiable."""
        return torch.cat([self._features(net, part) for part in self._parts(images)])[: len(images)]

    def add_gradient(self, net: ConvNet, images: Tensor, gradient: Tensor) -> None:
        """Add the gradient of images to theirs, from that of their features, part by part."""
        for part, of_features in zip(
            images.split(self.batch), gradient.split(self.batch), strict=True
        ):
            self.features(net, part).backward(of_features)

    @torch.no_grad()
    def constant_features(self, net: ConvNet, images: Tensor) -> Tensor:
        """Return the features [n, d] of normalised images, without gradients."""
        # Frozen, because a function is compiled again for weights that need gradients.
        return self.features(frozen(net), images)

    def _try_to_compile(self) -> None:
        """Compile, or use eager functions where that fails."""
        try:
            self._pool.submit(self._compile).result()
        # Compilers can fail in many ways, for example because there is none.
        except Exception as error:
            warnings.warn(
                f"improving without torch.compile, which failed: {type(error).__name__}",
                stacklevel=2,
            )
            self._features, self.compiled = training.feature_function(False, self._device), False

    def _compile(self) -> None:
        """Compile all functions in one of the threads that will call them.

        Two threads that meet an uncompiled function compile it twice, and a function is compiled
        for the number of threads of its caller.
        """
        net = self.build(0)
        size, channels = self._dataset.image_size, self._dataset.channels
        images = torch.zeros(self.batch, channels, size, size, device=self._device)
        labels = torch.zeros(self.batch, dtype=torch.long, device=self._device)
        self.constant_features(net, images)
        self.features(frozen(net), images.clone().requires_grad_()).sum().backward()
        self.train(net, sgd(net, 0.0), [(images, labels)])

    def train(
        self,
        net: ConvNet,
        optimizer: torch.optim.Optimizer,
        batches: Sequence[tuple[Tensor, Tensor]],
    ) -> None:
        """Make one optimizer step for each batch of augmented images and labels."""
        for images, labels in batches:
            optimizer.zero_grad(set_to_none=True)
            size = self._size(images)
            # Labels of the images that fill up the last part don't count.
            padded = F.pad(labels, (0, -len(labels) % size), value=-100)
            for part, classes in zip(self._parts(images), padded.split(size), strict=True):
                logits = net.classifier(self._features(net, part))
                loss = F.cross_entropy(logits, classes, reduction="sum") / len(labels)
                loss.backward()
            optimizer.step()

    def _size(self, images: Tensor) -> int:
        return self.batch if self.compiled else min(self.batch, len(images))

    def _parts(self, images: Tensor) -> Iterator[Tensor]:
        """Split images into batches; compiled functions get batches of one size."""
        size = self._size(images)
        missing = -len(images) % size
        if missing:
            repeats = -(-missing // len(images))
            images = torch.cat([images, images.repeat(repeats, 1, 1, 1)[:missing]])
        # Compiled functions also depend on strides, which are ambiguous for a single channel.
        return iter(part.flatten().view(part.shape) for part in images.split(size))


def sgd(net: ConvNet, lr: float) -> torch.optim.Optimizer:
    """Return the optimizer of the recipes, with the learning rate ``lr``."""
    return torch.optim.SGD(net.parameters(), lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def frozen(net: ConvNet) -> ConvNet:
    """Return a copy of a network whose weights need no gradients."""
    return copy.deepcopy(net).requires_grad_(False)
