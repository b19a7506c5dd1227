"""Trains ``turbo-mini`` from random weights on Fashion-MNIST's training split: ``ddbench-turbo train --output DIR``.

Three stages, each on real images only: an autoencoder; a small classifier of its latents, whose layers serve as
features; and the one-step generator, whose samples of a class are drawn towards the real latents of that class by
the energy distance in the latents and in those features. The last `HELD_OUT` training images are never trained on.
"""

import csv
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from torch import Tensor, nn
from tqdm import tqdm

from benchmark_adapters import datasets
from benchmark_adapters.types import UserError
from gdd_plugin import architecture, prompts

HELD_OUT = 5000
BORDER = 2
TRAINED_ON = f"fashion-mnist train, without its last {HELD_OUT:,} images"


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights, beside the data and the versions of the libraries."""

    seed: int = 0
    autoencoder_steps: int = 1200
    autoencoder_batch: int = 64
    autoencoder_lr: float = 2e-3
    classifier_steps: int = 1500
    classifier_batch: int = 256
    classifier_lr: float = 2e-3
    generator_steps: int = 5000
    generator_lr: float = 1e-3
    classes_per_step: int = 4
    generated_per_class: int = 32
    real_per_class: int = 64
    ema: float = 0.998


class LatentFeatures(nn.Module):
    """A classifier of 4x8x8 latents; ``forward`` gives the latents and its layers, last the logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(4, 64, 3, padding=1), nn.GroupNorm(8, 64), nn.SiLU()),
                nn.Sequential(nn.Conv2d(64, 96, 3, padding=1, stride=2), nn.GroupNorm(8, 96), nn.SiLU()),
                nn.Sequential(nn.Conv2d(96, 128, 3, padding=1, stride=2), nn.GroupNorm(8, 128), nn.SiLU()),
            ]
        )
        self.head = nn.Linear(128 * 4, classes)

    def forward(self, latents: Tensor) -> tuple[list[Tensor], Tensor]:
        features = [latents]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return [f.flatten(1) for f in features], self.head(features[-1].flatten(1))


class Log:
    """A progress bar, and a row of ``log.csv`` every 50 steps."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "log.csv").open("w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerow(["stage", "step", "loss", "seconds"])
        self.started = time.monotonic()

    def steps(self, stage: str, count: int) -> Iterator[int]:
        self.bar = tqdm(range(count), desc=stage, unit="step", mininterval=5)
        yield from self.bar

    def write(self, step: int, loss: Tensor) -> None:
        if step % 50 == 0:
            self.bar.set_postfix(loss=f"{loss.item():.4f}")
            self.rows.writerow([self.bar.desc, step, f"{loss.item():.5f}", f"{time.monotonic() - self.started:.0f}"])
            self.file.flush()


def to_pixels(images: Tensor) -> Tensor:
    """uint8 [n, 1, 28, 28] to float [n, 3, 32, 32] in [-1, 1], with a black border."""
    return F.pad(images, (BORDER,) * 4).expand(-1, 3, -1, -1).float() / 127.5 - 1


def one_cycle(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, optimizer.param_groups[0]["lr"], total_steps=steps, pct_start=max(0.05, 2 / steps))


def train_autoencoder(vae: AutoencoderKL, images: Tensor, settings: Settings, log: Log) -> None:
    """Reconstruction (mean absolute and squared error) with a slight pull of the latents to a unit normal."""
    optimizer = torch.optim.AdamW(vae.parameters(), settings.autoencoder_lr, betas=(0.9, 0.99))
    schedule = one_cycle(optimizer, settings.autoencoder_steps)
    for step in log.steps("autoencoder", settings.autoencoder_steps):
        pixels = to_pixels(images[torch.randint(len(images), (settings.autoencoder_batch,))])
        posterior = vae.encode(pixels).latent_dist
        difference = vae.decode(posterior.sample()).sample - pixels
        loss = difference.abs().mean() + 2 * difference.square().mean() + 1e-4 * posterior.kl().mean() / 256
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log.write(step, loss)


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Latents [N, 4, 8, 8] of all images, not yet scaled."""
    return torch.cat([vae.encode(to_pixels(chunk)).latent_dist.mode() for chunk in tqdm(images.split(500), desc="encoding")])


def train_features(latents: Tensor, labels: Tensor, settings: Settings, log: Log) -> LatentFeatures:
    """The classifier of latents, frozen."""
    net = LatentFeatures(int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(net.parameters(), settings.classifier_lr, weight_decay=0.05)
    schedule = one_cycle(optimizer, settings.classifier_steps)
    for step in log.steps("features", settings.classifier_steps):
        batch = torch.randint(len(latents), (settings.classifier_batch,))
        noisy = latents[batch] + 0.1 * torch.randn_like(latents[batch])
        loss = F.cross_entropy(net(noisy)[1], labels[batch], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        log.write(step, loss)
    return net.eval().requires_grad_(False)


def energy_distance(generated: Tensor, real: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'| for each class, over E|y - y'|, so that every feature weighs the same.

    The unbiased estimate of the energy distance (Székely & Rizzo 2013, eq. 2.1), from ``generated`` [k, g, d]
    and ``real`` [k, r, d]; the result is [k]. It is 0 where the two distributions agree.
    """
    between = torch.cdist(generated, real).mean((1, 2))
    return (2 * between - _spread(generated)) / _spread(real).detach() - 1


def _spread(points: Tensor) -> Tensor:
    """Mean distance between two different points of each class: [k, n, d] to [k]."""
    count = points.shape[1]
    return (torch.cdist(points, points) * (1 - torch.eye(count))).sum((1, 2)) / (count * (count - 1))


def embed(pipe: StableDiffusionXLPipeline, words: list[str]) -> tuple[Tensor, Tensor]:
    """Token embeddings [n, tokens, width] and pooled embeddings [n, width], with gradients."""
    tokens = pipe.tokenizer(words, padding="max_length", max_length=architecture.PROMPT_TOKENS, truncation=True, return_tensors="pt").input_ids
    first = pipe.text_encoder(tokens, output_hidden_states=True)
    second = pipe.text_encoder_2(tokens, output_hidden_states=True)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1), second.text_embeds


def one_step(pipe: StableDiffusionXLPipeline, noise: Tensor, embeds: Tensor, pooled: Tensor) -> Tensor:
    """Scaled latents from unit noise [n, 4, 8, 8] by the pipeline's single step, with gradients."""
    sigma = pipe.scheduler.sigmas[0]
    scale = (sigma**2 + 1) ** 0.5
    size = torch.tensor([32, 32, 0, 0, 32, 32.0]).expand(len(noise), 6)
    velocity = pipe.unet(noise * (sigma / scale), 999, embeds, added_cond_kwargs={"text_embeds": pooled, "time_ids": size}).sample
    return noise * (sigma / scale**2) - velocity * (sigma / scale)


def train_generator(pipe: StableDiffusionXLPipeline, features: LatentFeatures, latents: Tensor, labels: Tensor, settings: Settings, log: Log) -> None:
    """UNet and text encoders, so that each class's prompts give samples distributed like its latents."""
    names = datasets.FASHION_MNIST.class_names
    wordings = known_prompts()
    members = [torch.where(labels == label)[0] for label in range(len(names))]
    parts = nn.ModuleList([pipe.unet, pipe.text_encoder, pipe.text_encoder_2])
    average = torch.optim.swa_utils.AveragedModel(parts, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.ema))
    optimizer = torch.optim.AdamW(parts.parameters(), settings.generator_lr, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = one_cycle(optimizer, settings.generator_steps)
    pipe.scheduler.set_timesteps(1)
    count = settings.generated_per_class
    for step in log.steps("generator", settings.generator_steps):
        chosen = torch.randperm(len(names))[: settings.classes_per_step].tolist()
        words = [wordings[label][int(torch.randint(len(wordings[label]), ()))] for label in chosen]
        embeds, pooled = embed(pipe, words)
        noise = torch.randn(len(chosen) * count, *latents.shape[1:])
        samples = one_step(pipe, noise, embeds.repeat_interleave(count, 0), pooled.repeat_interleave(count, 0))
        real = torch.cat([latents[members[label][torch.randint(len(members[label]), (settings.real_per_class,))]] for label in chosen])
        loss = torch.stack(
            [
                energy_distance(x.unflatten(0, (len(chosen), -1)), y.unflatten(0, (len(chosen), -1))).mean()
                for x, y in zip(features(samples)[0], features(real)[0], strict=True)
            ]
        ).sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(parts)
        log.write(step, loss)
    parts.load_state_dict(average.module.state_dict())


def known_prompts() -> list[list[str]]:
    """Per class, every wording that the model learns; the bare class name a third of the time."""
    names = datasets.FASHION_MNIST.class_names
    styles = [prompts.class_prompts(names, "fashion-mnist", style) for style in prompts.TEMPLATES]
    wordings = [[prompt for style in styles for prompt in style[label]] for label in range(len(names))]
    return [known + [name] * (len(known) // 2) for name, known in zip(names, wordings, strict=True)]


def train(output: Path, data: Path | None, settings: Settings) -> None:
    """Makes the model folder ``output`` with ``log.csv`` and ``training.json`` beside the weights."""
    output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    pixels, targets = datasets.load(datasets.FASHION_MNIST, "train", data)
    images, labels = torch.from_numpy(pixels[:-HELD_OUT].copy()), torch.from_numpy(targets[:-HELD_OUT].copy())
    pipe = architecture.pipeline([prompt for wordings in known_prompts() for prompt in wordings])
    log = Log(output)
    train_autoencoder(pipe.vae, images, settings, log)
    pipe.vae.eval().requires_grad_(False)
    latents = encode(pipe.vae, images)
    pipe.vae.register_to_config(scaling_factor=1 / latents.std().item())
    latents *= pipe.vae.config.scaling_factor
    features = train_features(latents, labels, settings, log)
    train_generator(pipe, features, latents, labels, settings, log)
    pipe.save_pretrained(output)
    story = {
        "command": f"ddbench-turbo train --output DIR --seed {settings.seed}",
        "trained_on": TRAINED_ON,
        "border": BORDER,
        "licence": "Apache-2.0",
        "data_sha256": datasets.digest(pixels, targets),
        "settings": asdict(settings),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "seconds": round(time.monotonic() - log.started),
    }
    (output / "training.json").write_text(json.dumps(story, indent=1) + "\n")


@click.group()
def main() -> None:
    """Trains models for generative-turbo."""


@main.command("train")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the model.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Folder of Fashion-MNIST's IDX files.")
@click.option("--seed", type=int, default=Settings.seed, show_default=True)
@click.option("--scale", type=click.FloatRange(0.001, 100), default=1.0, show_default=True, help="Multiplies all numbers of steps.")
def train_command(output: Path, data: Path | None, seed: int, scale: float) -> None:
    """Train turbo-mini on Fashion-MNIST's training split."""
    steps = {key: max(4, round(value * scale)) for key, value in asdict(Settings()).items() if key.endswith("_steps")}
    try:
        train(output, data, Settings(**{**asdict(Settings()), **steps, "seed": seed}))
    except UserError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
