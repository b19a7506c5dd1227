"""Generate labelled images and their augmented copies from prompts."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmark_adapters.budget import Budget
from benchmark_adapters.types import Task, UserError
from gdd_plugin import batching, domain, pda, prompts
from gdd_plugin.batching import is_out_of_memory
from gdd_plugin.decoders import choose
from gdd_plugin.decoders.exact import (
    CHUNK,
    decoder_of,
)
from gdd_plugin.decoders.images import Decoder, OutputSpec, to_uint8
from gdd_plugin.metadata import CompileMetadata, DecoderMetadata, SamplingMetadata, record_entries
from gdd_plugin.models import samplers
from gdd_plugin.models.one_step import TurboSampler
from gdd_plugin.seeds import seeded_generator
from gdd_plugin.settings import DEFAULT_MODEL, Settings

if TYPE_CHECKING:
    from benchmark_adapters.types import Batch

# With compile=auto, a network is compiled if a process samples so many images and so many seconds
# are left. Estimate for an H100: compiling the repeated blocks takes 10 s and makes images a third
# faster. At 100 images per second, that is made up for after 4,000 images.
MIN_COMPILED_IMAGES = 5_000
MIN_COMPILED_SECONDS = 90.0
# Images that are sampled to see how long others take.
TIMED_IMAGES = 16
# Label of a sampled image, and its index within the class.
ImageKey = tuple[int, int]


def _load(task: Task, settings: Settings) -> samplers.Sampler:
    """Load the model. An error says what to do if the user chose none."""
    try:
        return samplers.load(
            settings.model,
            task.device,
            settings.lora,
            settings.size,
            getattr(torch, settings.dtype) if settings.dtype else None,
            settings.steps,
        )
    except UserError as error:
        if settings.model != DEFAULT_MODEL or task.options.get("model"):
            raise
        raise UserError(domain.missing_default(task.dataset, error)) from None


class ImageGenerator:
    """The sampler, decoder and augmentation of one run.

    Attributes:
        sizer: chooses the batch sizes.
        copies: augmented copies of each sampled image.
        num_workers: number of batches to generate concurrently.
        compilation: whether the network was compiled, for the record.
        in_float32: parts of the model that overflowed and were computed again in float32.
    """

    def __init__(self, task: Task, settings: Settings, images: int | None) -> None:
        """Load the model and encode all prompts.

        Args:
            task: the dataset, the seed and the device.
            settings: the settings of the method.
            images: number of images that this process samples; None: as many as the time allows.

        Raises:
            UserError: the model or the adapter cannot be found or loaded.
        """
        self.task, self.settings, self.images = task, settings, images
        self.copies = settings.copies
        dataset = task.dataset
        self.sampler = _load(task, settings)
        model = self.sampler.metadata
        if warning := domain.mismatch(model.model, model.model_dataset, dataset):
            task.report(warning=warning)
        self.output = OutputSpec(dataset.image_size, dataset.channels, self.sampler.border)
        self.decode: Decoder = self.sampler.decoder(self.output)
        self.decoder_metadata: DecoderMetadata | None = None
        self.compilation = CompileMetadata()
        self.in_float32: set[str] = set()
        self.prompts = prompts.class_prompts(
            dataset.class_names,
            dataset.name,
            settings.prompts,
            dataset.synonyms,
            dataset.prompts,
        )
        self.prompts_seconds = self._encode_prompts()
        parameters = self.sampler.parameters
        self.num_workers = self._count_workers(parameters)
        # Limit the default batch so that no worker gets all the images.
        share = batching.SMALL_MODEL_BATCH
        if images is not None:
            share = max(1, math.ceil(images / self.num_workers))
        self.sizer = batching.BatchSizer(settings.batch, task.device, parameters, share)

    def _encode_prompts(self) -> float:
        """Encode all prompts, free the text encoders and return the time taken in seconds."""
        start = time.monotonic()
        self.sampler.encode([prompt for prompts in self.prompts for prompt in prompts])
        self.sampler.free_encoders()
        return time.monotonic() - start

    def _count_workers(self, parameters: int) -> int:
        if not self.sampler.is_direct:
            return 1
        return batching.num_workers(self.task.device, parameters, torch.get_num_threads())

    def metadata(self) -> dict[str, Any]:
        """Return the record entries that are known before the first image."""
        sampling = SamplingMetadata(
            batch=self.sizer.size,
            threads=torch.get_num_threads(),
            lanes=self.num_workers,
            prompts=self.settings.prompts,
            prompts_encoded=len({prompt for prompts in self.prompts for prompt in prompts}),
            prompts_seconds=round(self.prompts_seconds, 3),
            pda=self.settings.pda,
            copies=self.copies,
        )
        decoder = [self.decoder_metadata] if self.decoder_metadata else []
        return record_entries(self.sampler.metadata, sampling, *decoder)

    def choose_decoder(self) -> None:
        """Select the decoder named in the settings, or the one that suits the run.

        Raises:
            UserError: the tiny decoder cannot be loaded.
        """
        if not isinstance(self.sampler, TurboSampler):
            if self.settings.decoder in ("tiny", "fitted"):
                raise UserError(
                    f"model {self.sampler.metadata.model} decodes its own images; "
                    f"leave out --option decoder={self.settings.decoder}"
                )
            self.decoder_metadata = DecoderMetadata("pipeline", "the pipeline decodes its images")
            return
        start = time.monotonic()
        context = choose.DecoderContext(
            self.sampler.pipe,
            self.output,
            self.sampler.size,
            self.task.device,
            self._draw_latents,
            None if self.images is None else self.images * self.task.parts,
            self.settings.tiny or self.sampler.backbone.tiny_decoder,
            self.task.dataset.num_classes,
        )
        try:
            choice = choose.choose(self.settings.decoder, context)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.decoder_metadata = DecoderMetadata("vae", "not enough memory to try others")
            return
        self.decode = choice.decoder
        self.decoder_metadata = choice.metadata.after(time.monotonic() - start)

    def _draw_latents(self, count: int, series: int = 0) -> Tensor:
        """Sample latents from prompts of all classes in turn, with the noise of a ``series``.

        They are the same in all processes of a run, and they do not become part of the set.
        """
        first = [prompts[0] for prompts in self.prompts]
        chosen = [first[index * len(first) // count % len(first)] for index in range(count)]
        generators = [
            seeded_generator(self.task.seed, -1 - series, index) for index in range(count)
        ]
        latents = []
        for start in range(0, count, CHUNK):
            part = slice(start, start + CHUNK)
            latents.append(self.sampler.latents(chosen[part], generators[part]))
        return torch.cat(latents)

    def generate(self, keys: Sequence[ImageKey]) -> Batch:
        """Generate the images of ``keys`` and their copies.

        If memory runs out, each half is generated separately, and later batches are smaller.

        Returns:
            Images uint8 [n * (1 + copies), C, S, S], labels int64 [n * (1 + copies)], and a bool
            mask of the same length that is True for sampled images and False for copies.

        Raises:
            UserError: there is not enough memory for a single image.
        """
        start = time.perf_counter()
        try:
            batch = self._generate(keys)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(keys) == 1:
                raise UserError(
                    f"not enough memory for one image of {self.sampler.size} pixels; choose a "
                    f"smaller size with --option size={self.sampler.size // 2}"
                ) from None
        else:
            self.sizer.record(len(keys), time.perf_counter() - start)
            return batch
        # Retry outside the handler, because the exception keeps frames alive that hold memory.
        self._free_memory(len(keys))
        half = len(keys) // 2
        first, second = self.generate(keys[:half]), self.generate(keys[half:])
        return tuple(
            torch.cat([torch.as_tensor(head), torch.as_tensor(tail)])
            for head, tail in zip(first, second, strict=True)
        )  # type: ignore[return-value]

    def _free_memory(self, count: int) -> None:
        """Prepare for smaller batches after a batch of ``count`` images ran out of memory."""
        if self.task.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if self.sampler.pad_to:
            self.sampler.uncompile()
            self.compilation = CompileMetadata("abandoned: not enough memory")
        self.sizer.shrink(count)

    @torch.inference_mode()
    def _generate(self, keys: Sequence[ImageKey]) -> Batch:
        generators = self.generators_of(keys)
        latents = self.sampler.latents(self.prompts_of(keys), generators)
        images = self.decode(latents)
        # Into pinned memory, so that only moving the images waits for a GPU.
        is_finite = images.isfinite().all().to("cpu", non_blocking=True)
        batch = self._batch(keys, images, generators)
        return batch if is_finite else self._generate_in_float32(keys, latents)

    def _generate_in_float32(self, keys: Sequence[ImageKey], latents: Tensor) -> Batch:
        """Generate images in float32 that overflowed in half precision on the way.

        Args:
            keys: label and index of each image.
            latents: the latents of the first try.

        Raises:
            UserError: values are not finite in float32 either.
        """
        if not isinstance(self.sampler, TurboSampler):
            raise UserError(
                f"model {self.sampler.metadata.model} computes values that are not finite; "
                "try --option dtype=float32"
            )
        # Latents are sampled again in any case, so that the generators go on to the same copies.
        generators = self.generators_of(keys)
        overflowed = not latents.isfinite().all()
        latents = self.sampler.latents(self.prompts_of(keys), generators, in_float32=overflowed)
        if overflowed:
            self._require_finite("UNet", latents)
        images = self.decode(latents)
        if not images.isfinite().all():
            vae = copy.deepcopy(self.sampler.pipe.vae).float()
            images = decoder_of(vae, self.output)(latents)
            self._require_finite("decoder", images)
        return self._batch(keys, images, generators)

    def _batch(
        self, keys: Sequence[ImageKey], images: Tensor, generators: Sequence[torch.Generator]
    ) -> Batch:
        labels = torch.tensor([label for label, _ in keys])
        policy = self.settings.pda
        return pda.with_copies(to_uint8(images), labels, self.copies, policy, generators)

    def generators_of(self, keys: Sequence[ImageKey]) -> list[torch.Generator]:
        """Return the random generators of images."""
        return [seeded_generator(self.task.seed, label, index) for label, index in keys]

    def _require_finite(self, part: str, values: Tensor) -> None:
        """Raise `UserError` unless all values are finite; remember that ``part`` needs float32."""
        if not values.isfinite().all():
            raise UserError(
                f"the {part} of model {self.sampler.metadata.model} computes values that are not "
                "finite, in float32 too; its weights may be damaged"
            )
        self.in_float32.add(part)

    def prompts_of(self, keys: Sequence[ImageKey]) -> list[str]:
        """Return the prompts of images. The images of a class cycle through its prompts."""
        return [self.prompts[label][index % len(self.prompts[label])] for label, index in keys]

    @property
    def wordings(self) -> list[str]:
        """Return the templates of the prompt style; empty: prompts are bare class names."""
        return list(prompts.check_style(self.settings.prompts))

    def wording(self, key: ImageKey) -> int:
        """Return the index of an image's template among `wordings`."""
        label, index = key
        return index % len(self.prompts[label])

    def seconds_per_image(self) -> float:
        """Return how long sampling an image takes, measured on images outside the set."""
        self.decode(self._draw_latents(1))
        count = min(TIMED_IMAGES, self.sizer.size)
        start = time.monotonic()
        self.decode(self._draw_latents(count)).cpu()
        return (time.monotonic() - start) / count

    def compile(self, budget: Budget) -> None:
        """Compile the network for the current batch size if that was requested or pays off."""
        choice = self.settings.compile
        if choice == "no" or (choice == "auto" and not self.pays_to_compile(budget)):
            return
        start = time.monotonic()
        failure = self.sampler.compile(self.sizer.size)
        if not failure and self.task.device == "cpu":
            self.num_workers = 1
        self.compilation = CompileMetadata(failure or "yes", round(time.monotonic() - start, 2))

    def pays_to_compile(self, budget: Budget) -> bool:
        """Return whether compiling the network probably saves more time than it takes."""
        return (
            self.task.device.startswith("cuda")
            and (self.images is None or self.images >= MIN_COMPILED_IMAGES)
            and budget.remaining() >= MIN_COMPILED_SECONDS
        )
