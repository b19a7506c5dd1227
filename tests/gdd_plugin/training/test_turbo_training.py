"""Training of one-step models: real images, real processes, at a thousandth of the length."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import small_training
import torch
from gdd_plugin.training.denoiser import Denoiser, Prompts
from gdd_plugin.training.features import Features
from gdd_plugin.training.journal import Schedule
from gdd_plugin.training.train import train
from PIL import Image
from project import wait_for
from safetensors.torch import load_file
from small_training import SHORT, SMALL

from benchmark_adapters.datasets import FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError
from gdd_plugin import architecture
from gdd_plugin.sampler import TurboSampler, generator
from gdd_plugin.training import data, journal, manifest, student

pytestmark = pytest.mark.usefixtures("one_thread", "_no_plots")


@pytest.fixture
def _no_plots():
    """They take a third of such a short training; the model that all tests share has them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.Journal, "curves", lambda self: None)
        yield


SHORTEST = replace(
    SMALL,
    features=Schedule(3, 16, 2e-3),
    autoencoder=Schedule(3, 8, 2e-3),
    teacher=Schedule(3, 16, 1e-3),
)


def arguments(few, output, *more):
    return [
        "train",
        "--dataset",
        "fashion-mnist",
        "--data",
        str(few),
        "--output",
        str(output),
        "--held-out",
        "200",
        *more,
    ]


def weights(folder):
    return {file.parent.name: load_file(file) for file in folder.glob("*/*.safetensors")}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for part in one:
        torch.testing.assert_close(one[part], other[part], rtol=0, atol=0)


# One step


def test_the_tokenizer_is_the_same_whenever_it_is_learned():
    corpus = [prompt for known in manifest.known_prompts(FASHION_MNIST) for prompt in known]
    assert len({architecture.tokenizer(corpus).backend_tokenizer.to_str() for _ in range(20)}) == 1


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_the_trained_step_is_the_pipelines_step(prediction):
    pipe = TurboSampler("turbo-mini").pipe
    pipe.scheduler = pipe.scheduler.from_config(pipe.scheduler.config, prediction_type=prediction)
    noise = torch.stack(
        [torch.randn(4, 8, 8, generator=generator(0, 0, index)) for index in range(3)]
    )
    words = ["Sneaker", "a photo of a Bag", "Coat"]
    with torch.inference_mode():
        ours = Denoiser(pipe).one_step(
            noise, Prompts(pipe, [words], torch.device("cpu")).tokens(words)
        )
        theirs = pipe(
            words, latents=noise, num_inference_steps=1, guidance_scale=0.0, output_type="latent"
        ).images
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_perfect_denoiser_gives_back_what_was_noised():
    """The UNet is replaced by one that knows the noise: the formula of the clean estimate is what is looked at."""
    pipe = architecture.pipeline(["a bag"])
    net = Denoiser(pipe)
    clean, noise = torch.randn(2, 5, 4, 8, 8)
    timesteps = torch.tensor([0, 10, 400, 900, 999])
    alpha, sigma = (share[timesteps][:, None, None, None] for share in (net.alpha, net.sigma))
    answers = {"epsilon": noise, "v_prediction": alpha * noise - sigma * clean}
    for net.prediction, answer in answers.items():
        pipe.unet.forward = lambda *_, answer=answer, **__: type("Output", (), {"sample": answer})
        found = net(
            net.noised(clean, noise, timesteps),
            timesteps,
            Prompts(pipe, [], torch.device("cpu")).tokens(["a bag"]),
        )
        torch.testing.assert_close(found, clean, atol=2e-3, rtol=1e-3)


def test_the_model_learns_bare_names_and_templates_with_their_articles():
    wordings = manifest.known_prompts(FASHION_MNIST)
    assert wordings[0][0] == "T-shirt/top"
    assert "a photo of a T-shirt" in wordings[0]
    assert "a photo of an Ankle boot" in wordings[9]
    words = architecture.tokenizer([prompt for known in wordings for prompt in known])
    assert (
        max(len(words(prompt).input_ids) for known in wordings for prompt in known)
        < architecture.PROMPT_TOKENS
    )
    assert (
        words.unk_token_id not in words("Zebra: ½ ñandú 象").input_ids[1:-1]
    )  # it can spell anything


# The student's opponents


@pytest.fixture
def opponents(few, tmp_path):
    """A random network's features, real images in them, and a discriminator with its journal."""
    torch.manual_seed(0)
    real = data.Real(FASHION_MNIST, few, 200, 8)
    features = Features(1, 28, 10).eval().requires_grad_(False)
    return (
        features,
        student._drawn(features, real, [2, 7], 24),
        student.Adversary(10, SHORT, journal.Journal(tmp_path, {"seed": 0}, 10)),
    )


def batch(features, pictures):
    return student.Batch(
        None,
        pictures,
        torch.tensor([2, 7]).repeat_interleave(len(pictures) // 2),
        *features(pictures),
    )


def descend(pictures, loss, steps):
    optimizer = torch.optim.Adam([pictures], 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def test_the_discriminator_learns_to_tell_and_its_loss_teaches_to_pass(opponents):
    features, real, adversary = opponents
    pictures = torch.nn.Parameter(0.3 * torch.randn(16, 1, 28, 28))
    first = adversary.learn(batch(features, pictures), real).item()
    for _ in range(60):
        last = adversary.learn(batch(features, pictures), real).item()
    assert last < 0.2 * first
    caught = adversary.generator_loss(batch(features, pictures)).item()
    assert caught > 0 > adversary.generator_loss(real).item()
    descend(pictures, lambda: adversary.generator_loss(batch(features, pictures)), 40)
    assert adversary.generator_loss(batch(features, pictures)).item() < 0


def test_matching_moves_samples_to_the_real_ones_of_their_class(opponents):
    features, real, _ = opponents
    pictures = torch.nn.Parameter(0.3 * torch.randn(16, 1, 28, 28))
    fresh = Features(1, 28, 10).eval().requires_grad_(False)
    descend(pictures, lambda: student.matching(batch(features, pictures), real, 2, fresh), 60)
    (pullovers, sneakers), wanted = (
        pictures.detach().unflatten(0, (2, -1)).mean(1),
        real.pictures.unflatten(0, (2, -1)).mean(1),
    )
    for other, (samples, own) in zip(
        reversed(wanted), zip((pullovers, sneakers), wanted, strict=True), strict=True
    ):
        assert (samples - own).square().mean() < 0.5 * (samples - other).square().mean()


# The whole training


def test_a_training_leaves_a_model_and_its_story(made):
    story = json.loads((made / "training.json").read_text())
    assert story["settings"]["seed"] == 3
    assert story["border"] == 2
    assert story["trained_on"] == "fashion-mnist train, without the last 20 images of each class"
    assert set(story["seconds"]) == {"features", "autoencoder", "teacher", "student"}
    logged = list(csv.DictReader((made / "log.csv").open()))
    assert {row["loss"] for row in logged if row["stage"] == "student"} == {
        "loss",
        "matching",
        "adversarial",
        "discriminator",
        "distillation",
    }
    assert "<svg" in (made / "losses.svg").read_text()
    assert Image.open(made / "samples.png").size[0] > 280
    assert not (made / "checkpoints").exists()
    turbo = TurboSampler(str(made))
    assert turbo.border == 2
    assert turbo.sample(["Sneaker"], [generator(0, 0, 0)]).shape == (1, 3, 28, 28)


def test_a_training_ended_at_any_step_goes_on_as_if_it_had_not(made, few, tmp_path, monkeypatch):
    """The interruption comes in each stage, one after the other, a logged step after its checkpoint."""
    learned = journal.Stage.learn
    seen = set()

    def learn_and_stop(stage, *losses, **parts):
        learned(stage, *losses, **parts)
        if stage.done == 2 and stage.name not in seen:
            seen.add(stage.name)
            raise KeyboardInterrupt

    monkeypatch.setattr(journal, "LOG_EVERY", 1)
    monkeypatch.setattr(journal.Stage, "learn", learn_and_stop)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal(weights(tmp_path / "made"), weights(made))
    assert (tmp_path / "made" / "log.csv").read_text() == (made / "log.csv").read_text()


@pytest.mark.slow
def test_a_killed_training_goes_on(made, few, tmp_path):
    output = tmp_path / "model"
    command = [sys.executable, small_training.__file__, "train", few, output]
    child = subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = output / "checkpoints" / "autoencoder.pt"
    wait_for(lambda: first.exists() or child.poll() is not None)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    train(output, FASHION_MNIST, few, SMALL, save_every=1)
    assert_equal(weights(output), weights(made))


def test_one_loss_alone_logs_that_loss_alone(few, tmp_path):
    only = replace(SHORTEST, student=replace(SHORT, matching=0, adversarial=0))
    train(tmp_path, FASHION_MNIST, few, only)
    assert {
        row["loss"]
        for row in csv.DictReader((tmp_path / "log.csv").open())
        if row["stage"] == "student"
    } == {"loss", "distillation"}


# Bad input


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_checkpoint(
    made, few, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        student.losses, "distillation", lambda generated, *_: generated.sum() * float("nan")
    )
    with pytest.raises(
        UserError,
        match=r"stage student, step 0: .* is nan; there is no checkpoint of this stage yet; try a lower learning rate",
    ):
        train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert {file.stem for file in (tmp_path / "made" / "checkpoints").iterdir()} == {
        "features",
        "autoencoder",
        "teacher",
    }
    monkeypatch.undo()
    train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal(weights(tmp_path / "made"), weights(made))


def test_a_full_disk_keeps_the_last_good_checkpoint(few, ddbench_turbo, tmp_path, monkeypatch):
    """A limit on the size of a file stands for the full disk: the same call fails with the same kind of error."""
    monkeypatch.setattr(
        "gdd_plugin.training.train.Settings", lambda **asked: replace(SHORTEST, **asked)
    )
    output, before = tmp_path / "model", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    try:
        done = ddbench_turbo(*arguments(few, output))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "teacher.pt can't be written: File too large; what was saved before is kept" in line
    assert {file.name for file in (output / "checkpoints").glob("*.pt")} == {
        "features.pt",
        "autoencoder.pt",
    }
    assert ddbench_turbo(*arguments(few, output)).returncode == 0


def test_a_folder_with_another_training_is_left_alone(few, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 8}))
    with pytest.raises(UserError, match=r"holds a training with other settings .*seed"):
        train(tmp_path, FASHION_MNIST, few, SMALL)


def test_a_damaged_checkpoint_is_named(few, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "features.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"features\.pt can't be continued .*; remove it"):
        train(tmp_path, FASHION_MNIST, few, SMALL)


def test_too_few_images_and_images_of_another_size_are_refused(few, ddbench_turbo, tmp_path):
    done = ddbench_turbo(*arguments(few, tmp_path / "model"), "--held-out", "960", "--real", "8")
    assert done.returncode == 2
    assert (
        "error: fashion-mnist train, without the last 96 images of each class, has " in done.stderr
    )
    assert "training needs 8 of each class" in done.stderr
    with pytest.raises(
        UserError, match="makes images of 32 px; tiny-imagenet has 64 px: adapt a larger model"
    ):
        train(tmp_path, TINY_IMAGENET, None, replace(SMALL, dataset="tiny-imagenet"))


def test_missing_training_data_is_one_line(ddbench_turbo, tmp_path):
    done = ddbench_turbo(
        "train", "--dataset", "cifar10", "--data", tmp_path, "--output", tmp_path / "model"
    )
    assert done.returncode == 2
    assert "error: dataset cifar10 is not in" in done.stderr
    assert "Traceback" not in done.stderr
