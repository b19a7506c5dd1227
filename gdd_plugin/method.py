"""generative-turbo: label prompts, one-step samples, Post Data Augmentation, classes round-robin."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Task, UserError
from gdd_plugin import batching, decoders, pda, prompts, sampler

if TYPE_CHECKING:
    from benchmark_adapters.types import Round

PRESETS: dict[str, dict[str, str]] = {
    "default": {"prompts": "name", "pda": "default"},
    "published": {"prompts": "bare", "pda": "published"},
}
MODELS = {"fashion-mnist": "turbo-mini"}
MODEL = "stabilityai/sdxl-turbo"
COMPILING, AT_MOST = (
    90.0,
    0.05,
)  # seconds that compiling takes, and the share of the remaining time that it may take

Images = Sequence[tuple[int, int]]  # (label, index) of each


@dataclass(frozen=True)
class Settings:
    """The method's options with every default decided."""

    model: str
    lora: str | None
    prompts: str
    pda: str
    copies: int
    batch: int | None
    size: int | None
    decoder: str
    tiny: str | None
    dtype: str | None
    compile: str


def settings(options: Mapping[str, Any], dataset: str) -> Settings:
    """What ``options`` mean for ``dataset``: an option given wins over the preset."""
    preset = PRESETS[options["preset"]]
    policy = options["pda"] or preset["pda"]
    copies = pda.POLICIES[policy].copies if options["copies"] is None else options["copies"]
    return Settings(
        model=options["model"] or MODELS.get(dataset, MODEL),
        prompts=options["prompts"] or preset["prompts"],
        pda=policy,
        copies=copies if policy != "none" else 0,
        **{
            name: options[name]
            for name in ("lora", "batch", "size", "decoder", "tiny", "dtype", "compile")
        },
    )


def rounds(task: Task, budget: Budget) -> Iterator[Round]:
    """Rounds of sampled images, each followed by its augmented copies; forever where ``task.ipc`` is None."""
    chosen = settings(task.options, task.dataset.name)
    per_class = None if task.ipc is None else math.ceil(task.ipc / (1 + chosen.copies))
    images = (
        None if per_class is None else math.ceil(per_class * task.dataset.num_classes / task.parts)
    )
    studio = Studio(task, chosen, images)
    studio.choose_decoder(budget)
    task.ready(**studio.facts)
    wanted = _round_robin(task, per_class)
    if per_class is None:  # one image tells how long the others take
        yield studio.make(list(itertools.islice(wanted, 1)))
    yield from _grown(studio, wanted, budget)
    studio.compile(budget)
    task.report(batch=studio.size.size, lanes=studio.lanes, **studio.compiled)
    reported = studio.size.size
    # On a GPU each lane keeps the main thread's share of the CPU: a compiled graph is compiled again for another one.
    cores = torch.get_num_threads() * (studio.lanes if task.device != "cpu" else 1)
    for made in batching.in_lanes(
        studio.make, batching.batches(wanted, studio.size, budget), studio.lanes, cores
    ):
        if studio.size.size != reported:  # memory was short
            reported = studio.size.size
            task.report(batch=reported, **studio.compiled)
        yield made


def _grown(studio: Studio, wanted: Iterator[tuple[int, int]], budget: Budget) -> Iterator[Round]:
    """Rounds one by one while the best size of a batch is looked for; they are kept like all others."""
    while studio.size.growing and (
        batch := next(batching.batches(wanted, studio.size, budget), None)
    ):
        yield studio.make(batch)


def _round_robin(task: Task, per_class: int | None) -> Iterator[tuple[int, int]]:
    """(label, index) of every image of this part: the first of each class, then the second, so that a cut leaves a balanced set."""
    indices = (
        itertools.count(task.part, task.parts)
        if per_class is None
        else range(task.part, per_class, task.parts)
    )
    for index in indices:
        for label in range(task.dataset.num_classes):
            yield label, index


class Studio:
    """Everything that makes rounds: sampler, decoder, PDA.

    Attributes:
        facts: for the record.
        size: of the batches.
        lanes: batches made at once.
        compiled: for the record, what became of compiling.
    """

    def __init__(self, task: Task, chosen: Settings, images: int | None) -> None:
        """Loads the model and encodes all prompts, for ``images`` samples (None: as many as fit).

        Raises:
            UserError: the model can't be had.
        """
        data = task.dataset
        self.task, self.chosen, self.images = task, chosen, images
        dtype = getattr(torch, chosen.dtype) if chosen.dtype else None
        self.turbo = sampler.TurboSampler(
            chosen.model, task.device, chosen.lora, chosen.size, dtype
        )
        self.target = decoders.Target(data.image_size, data.channels, self.turbo.border)
        self.decode = decoders.exact(self.turbo.pipe, self.target)
        self.wordings = prompts.class_prompts(
            data.class_names, data.name, chosen.prompts, data.synonyms
        )
        every = [prompt for wording in self.wordings for prompt in wording]
        began = time.monotonic()
        self.turbo.encode(every)
        self.turbo.free_encoders()
        parameters = sum(weights.numel() for weights in self.turbo.pipe.unet.parameters())
        self.lanes = (
            batching.lanes(task.device, parameters, torch.get_num_threads())
            if self.turbo.is_direct
            else 1
        )
        share = {} if images is None else {"most": max(1, math.ceil(images / self.lanes))}
        self.size = batching.BatchSize(chosen.batch, task.device, parameters, **share)
        self.compiled: dict[str, Any] = {"compile": "no"}
        self.facts: dict[str, Any] = {
            **self.turbo.facts,
            "batch": self.size.size,
            "threads": torch.get_num_threads(),
            "lanes": self.lanes,
            "prompts": chosen.prompts,
            "prompts_encoded": len(set(every)),
            "prompts_seconds": round(time.monotonic() - began, 3),
            "pda": chosen.pda,
            "copies": chosen.copies,
        }

    def choose_decoder(self, budget: Budget) -> None:
        """Takes the decoder that the options name, or that suits the run."""
        began = time.monotonic()
        if (
            self.task.parts > 1 and self.chosen.decoder == "auto"
        ):  # which decides by the clock, and so not the same everywhere
            self.facts |= {
                "decoder": "vae",
                "decoder_because": "parts of one set are decoded alike: name another decoder for all",
            }
            return
        at = decoders.Situation(
            self.turbo.pipe,
            self.target,
            self.turbo.size,
            self._draw,
            self.images,
            budget.remaining(),
            self.chosen.tiny,
        )
        try:
            choice = decoders.choose(self.chosen.decoder, at)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            self.facts |= {"decoder": "vae", "decoder_because": "there was no memory to try others"}
            return
        self.decode = choice.decoder
        self.facts |= {**choice.facts, "decoder_seconds": round(time.monotonic() - began, 2)}

    def _draw(self, count: int) -> Tensor:
        """Latents of samples that are no part of the set, the same in every part of a run, from prompts of all classes."""
        every = [wording[0] for wording in self.wordings]
        words = [every[index * len(every) // count % len(every)] for index in range(count)]
        sources = [sampler.generator(self.task.seed, -1, index) for index in range(count)]
        step = decoders.CHUNK
        return torch.cat(
            [
                self.turbo.latents(words[at : at + step], sources[at : at + step])
                for at in range(0, count, step)
            ]
        )

    def make(self, batch: Images) -> Round:
        """The images of ``batch`` and their copies, uint8 [n * (1 + copies), C, S, S], with labels and marks.

        Where memory is short they are made in halves, and batches are smaller from then on.

        Raises:
            UserError: there is not even memory for one image.
        """
        began = time.perf_counter()
        try:
            made = self._make(batch)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise UserError(
                    f"there is no memory for one image of {self.turbo.size} pixels; give a smaller one with --option size=256"
                ) from None
        else:
            self.size.took(len(batch), time.perf_counter() - began)
            return made
        # Here the exception is gone, and with it the frames that hold on to memory.
        if self.task.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if self.turbo.pad_to:
            self.turbo.uncompile()
            self.compiled = {"compile": "given up, memory was short"}
        self.size.out_of_memory(len(batch))
        half = len(batch) // 2
        first, second = self.make(batch[:half]), self.make(batch[half:])
        return tuple(
            torch.cat([torch.as_tensor(one), torch.as_tensor(other)])
            for one, other in zip(first, second, strict=True)
        )  # type: ignore[return-value]

    @torch.inference_mode()
    def _make(self, batch: Images) -> Round:
        generators = [sampler.generator(self.task.seed, label, index) for label, index in batch]
        # The next image of a class takes its next wording.
        words = [self.wordings[label][index % len(self.wordings[label])] for label, index in batch]
        images = decoders.to_uint8(self.decode(self.turbo.latents(words, generators)))
        return _with_copies(
            images, torch.tensor([label for label, _ in batch]), self.chosen, generators
        )

    def compile(self, budget: Budget) -> None:
        """Compiles the UNet for one size of batch, where that was asked for or pays; the record says what it took, or why it failed."""
        pays = (
            self.task.device.startswith("cuda")
            and self.task.ipc is None
            and budget.remaining() * AT_MOST > COMPILING
        )
        if self.chosen.compile == "no" or (self.chosen.compile == "auto" and not pays):
            return
        began = time.monotonic()
        problem = self.turbo.compile(self.size.size)
        self.lanes = 1 if not problem and self.task.device == "cpu" else self.lanes
        self.compiled = {
            "compile": problem or "yes",
            "compile_seconds": round(time.monotonic() - began, 2),
        }


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Libraries below torch raise plain errors."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in ("out of memory", "allocate memory", "ALLOC_FAILED")
    )


def _with_copies(
    images: Tensor, labels: Tensor, chosen: Settings, generators: list[torch.Generator]
) -> Round:
    """Each image and then its copies, on the CPU, with marks that tell them apart."""
    copies = pda.augment(images, chosen.copies, chosen.pda, generators).unflatten(
        0, (len(images), chosen.copies)
    )
    together = torch.cat([images[:, None], copies], 1).flatten(0, 1).cpu()
    sampled = torch.zeros(len(images), 1 + chosen.copies, dtype=torch.bool)
    sampled[:, 0] = True
    return together, labels.repeat_interleave(1 + chosen.copies), sampled.flatten()
