"""Methods, their options, the task that they get and the sets that they yield."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmark_adapters.budget import Budget
from benchmark_adapters.types.data import Dataset
from benchmark_adapters.types.tracks import Recipe

if TYPE_CHECKING:
    from benchmark_adapters.types.data import Array, ArrayLike, Batch


@dataclass(frozen=True)
class Option:
    """A setting of a method, given as ``--option name=value``.

    Attributes:
        choices: allowed values; empty: any value of ``type``.
        check: raises `ValueError` if a value is not allowed.
    """

    name: str
    type: type[str] | type[int] | type[float] | type[bool]
    default: str | int | float | bool | None
    help: str
    choices: tuple[str, ...] = ()
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True)
class Task:
    """The input of a method: a request for the distilled set of one dataset of one track.

    Attributes:
        device: a torch device name, ``cpu``, ``cuda`` or ``mps``.
        ipc: images per class; None: as many as the budget allows.
        options: the values of the method's options, including defaults.
        training_images: ``() -> (images uint8 [N, C, H, W], labels int64 [N])``, the real training
            images. A call is noted in the record. Raises `UserError` if the track has none.
        ready: call it once, when the model is loaded, with metadata for the record: ``model``,
            ``model_sha256``, ``model_trained_on``, ``batch`` and anything else that describes how
            the images are generated.
        report: adds metadata to the record at any time. Numbers and arrays of numpy and torch, and
            paths, become plain JSON. ``report(warning=TEXT)`` warns the user.
        part: index of this process, from 0, if several processes generate one set. It generates
            the images whose index within their class is ``part``, ``part + parts``, ...
        parts: number of processes that generate the set.
        memory: bytes of memory that these processes may use together, if ``--memory-limit`` says
            so; None: it doesn't.
        recipe: the recipe that students will be trained with; the harness always provides it.
        progress: ``(phase, done, total)``: shows how far a phase of the method is, for methods that
            do more than yield batches. ``total`` may be None.
    """

    track: str
    dataset: Dataset
    seed: int
    device: str
    ipc: int | None
    options: Mapping[str, Any]
    training_images: Callable[[], tuple[Array, Array]]
    ready: Callable[..., None]
    report: Callable[..., None] = lambda **values: None
    part: int = 0
    parts: int = 1
    recipe: Recipe | None = None
    progress: Callable[[str, int, int | None], None] = lambda phase, done, total: None
    memory: int | None = None


@dataclass(frozen=True)
class Replacement:
    """A complete distilled set that supersedes everything that the method has yielded before.

    A method that improves its set yields one whenever it has a better set. The harness keeps the
    last one that was complete in time.

    Attributes:
        images: uint8 [n, C, H, W], as many of each class.
        labels: int64 [n].
        generated: bool [n], True for freshly sampled images, False for augmented copies and for
            images that were optimised; None: all are True.
    """

    images: ArrayLike
    labels: ArrayLike
    generated: ArrayLike | None = None


@dataclass(frozen=True)
class Method:
    """An algorithm that turns a task into labelled images within a budget.

    ``distill(task, budget)`` is a generator of batches ``(images uint8 [n, C, H, W], labels int64
    [n])``, torch or numpy. It should cycle through the classes, so that the set is balanced even
    if the time limit cuts it short. Batches with augmented copies have a third element, bool [n],
    which is True for freshly sampled images. Heavy imports belong inside the function.

    Attributes:
        divisible: whether the method honours ``task.part``, so that several processes can share a
            set. Each process stops by itself once its part is complete.
        obstacle: returns why a divisible method can't divide a set with these options, images per
            class (None: as many as possible) and seconds of time; empty: it can.
        file: path of the file that ddbench found the method in; empty: it is installed.
    """

    name: str
    distill: Callable[[Task, Budget], Iterator[Batch | Replacement]] | str
    options: tuple[Option, ...] = ()
    summary: str = ""
    divisible: bool = False
    file: str = ""
    obstacle: Callable[[Mapping[str, Any], int | None, float], str] | None = None
