"""Training of one-step models: real images, real processes, at a thousandth of the length."""

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file

from benchmark_adapters import datasets
from benchmark_adapters.datasets import FASHION_MNIST, TINY_IMAGENET
from benchmark_adapters.types import UserError
from gdd_plugin import architecture, models
from gdd_plugin.sampler import TurboSampler, generator
from gdd_plugin.training import card, data, evaluate, journal, manifest, student
from gdd_plugin.training.adapt import Settings as AdaptSettings
from gdd_plugin.training.adapt import adapt
from gdd_plugin.training.denoiser import Denoiser, Prompts
from gdd_plugin.training.features import Features
from gdd_plugin.training.journal import Schedule
from gdd_plugin.training.train import Settings, train

SHORT = student.Settings(steps=4, classes=2, generated=4, real=8)
SMALL = Settings(
    "fashion-mnist",
    seed=3,
    held_out=200,
    features=Schedule(4, 16, 2e-3),
    autoencoder=Schedule(4, 8, 2e-3),
    teacher=Schedule(4, 16, 1e-3, ema=0.998),
    student=SHORT,
)
SIZES = ("--classes", "2", "--generated", "4", "--real", "8")
COMMAND = (sys.executable, "-m", "gdd_plugin.training.cli")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums of several threads round differently from run to run, and training magnifies that."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A folder of 1,000 real images: Fashion-MNIST's bundled test split stands for the training split."""
    folder = tmp_path_factory.mktemp("few")
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    for name, array in (("images-idx3", images[:1000, 0]), ("labels-idx1", labels[:1000])):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    (folder / "t10k-images-idx3-ubyte").touch()
    return folder


@pytest.fixture(scope="module")
def made(few, tmp_path_factory):
    """A model that the whole training made in small."""
    folder = tmp_path_factory.mktemp("models") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "LOG_EVERY", 1)
        train(folder, FASHION_MNIST, few, SMALL, save_every=2)
    return folder


def arguments(few, output, *more):
    return ["train", "--dataset", "fashion-mnist", "--data", str(few), "--output", str(output), "--held-out", "200", "--scale", "0.002", *SIZES, *more]


def run(*command, **options):
    return subprocess.run([*COMMAND, *map(str, command)], capture_output=True, text=True, timeout=300, check=False, **options)


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
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator(0, 0, index)) for index in range(3)])
    words = ["Sneaker", "a photo of a Bag", "Coat"]
    with torch.inference_mode():
        ours = Denoiser(pipe).one_step(noise, Prompts(pipe, [words], torch.device("cpu")).tokens(words))
        theirs = pipe(words, latents=noise, num_inference_steps=1, guidance_scale=0.0, output_type="latent").images
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
        found = net(net.noised(clean, noise, timesteps), timesteps, Prompts(pipe, [], torch.device("cpu")).tokens(["a bag"]))
        torch.testing.assert_close(found, clean, atol=2e-3, rtol=1e-3)


def test_the_model_learns_bare_names_and_templates_with_their_articles():
    wordings = manifest.known_prompts(FASHION_MNIST)
    assert wordings[0][0] == "T-shirt/top"
    assert "a photo of a T-shirt" in wordings[0]
    assert "a photo of an Ankle boot" in wordings[9]
    words = architecture.tokenizer([prompt for known in wordings for prompt in known])
    assert max(len(words(prompt).input_ids) for known in wordings for prompt in known) < architecture.PROMPT_TOKENS
    assert words.unk_token_id not in words("Zebra: ½ ñandú 象").input_ids[1:-1]  # it can spell anything


# The student's opponents


@pytest.fixture
def opponents(few, tmp_path):
    """A random network's features, real images in them, and a discriminator with its journal."""
    torch.manual_seed(0)
    real = data.Real(FASHION_MNIST, few, 200, 8)
    features = Features(1, 28, 10).eval().requires_grad_(False)
    return features, student._drawn(features, real, [2, 7], 24), student.Adversary(10, SHORT, journal.Journal(tmp_path, {"seed": 0}, 10))


def batch(features, pictures):
    return student.Batch(None, pictures, torch.tensor([2, 7]).repeat_interleave(len(pictures) // 2), *features(pictures))


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
    (pullovers, sneakers), wanted = pictures.detach().unflatten(0, (2, -1)).mean(1), real.pictures.unflatten(0, (2, -1)).mean(1)
    for other, (samples, own) in zip(reversed(wanted), zip((pullovers, sneakers), wanted, strict=True), strict=True):
        assert (samples - own).square().mean() < 0.5 * (samples - other).square().mean()


# The whole training


def test_a_training_leaves_a_model_and_its_story(made):
    story = json.loads((made / "training.json").read_text())
    assert story["settings"]["seed"] == 3
    assert story["border"] == 2
    assert story["trained_on"] == "fashion-mnist train, without the last 20 images of each class"
    assert set(story["seconds"]) == {"features", "autoencoder", "teacher", "student"}
    logged = list(csv.DictReader((made / "log.csv").open()))
    assert {row["loss"] for row in logged if row["stage"] == "student"} == {"loss", "matching", "adversarial", "discriminator", "distillation"}
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


def test_a_killed_command_goes_on(few, tmp_path):
    output = tmp_path / "model"
    child = subprocess.Popen([*COMMAND, *arguments(few, output, "--save-every", "1")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = output / "checkpoints" / "autoencoder.pt"
    while not first.exists():
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = run(*arguments(few, output, "--save-every", "1"))
    assert done.returncode == 0, done.stderr
    assert (output / "unet" / "diffusion_pytorch_model.safetensors").exists()


def test_one_loss_alone_logs_that_loss_alone(few, tmp_path):
    only = replace(SMALL, student=replace(SHORT, matching=0, adversarial=0))
    train(tmp_path, FASHION_MNIST, few, only)
    assert {row["loss"] for row in csv.DictReader((tmp_path / "log.csv").open()) if row["stage"] == "student"} == {"loss", "distillation"}


# Bad input


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_checkpoint(made, few, tmp_path, monkeypatch):
    monkeypatch.setattr(student.losses, "distillation", lambda generated, *_: generated.sum() * float("nan"))
    with pytest.raises(UserError, match=r"stage student, step 0: .* is nan; there is no checkpoint of this stage yet; try a lower learning rate"):
        train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert {file.stem for file in (tmp_path / "made" / "checkpoints").iterdir()} == {"features", "autoencoder", "teacher"}
    monkeypatch.undo()
    train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal(weights(tmp_path / "made"), weights(made))


def test_a_full_disk_keeps_the_last_good_checkpoint(few, tmp_path):
    """A limit on the size of a file stands for the full disk: the same call fails with the same kind of error."""
    output = tmp_path / "model"
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000)); from gdd_plugin.training.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", limit, *arguments(few, output)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "teacher.pt can't be written: File too large; what was saved before is kept" in line
    assert {file.name for file in (output / "checkpoints").glob("*.pt")} == {"features.pt", "autoencoder.pt"}
    assert run(*arguments(few, output)).returncode == 0


def test_a_folder_with_another_training_is_left_alone(few, tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 8}))
    with pytest.raises(UserError, match=r"holds a training with other settings .*seed"):
        train(tmp_path, FASHION_MNIST, few, SMALL)


def test_a_damaged_checkpoint_is_named(few, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "features.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"features\.pt can't be continued .*; remove it"):
        train(tmp_path, FASHION_MNIST, few, SMALL)


def test_too_few_images_and_images_of_another_size_are_refused(few, tmp_path):
    done = run(*arguments(few, tmp_path / "model"), "--held-out", "960")
    assert done.returncode == 2
    assert "error: fashion-mnist train, without the last 96 images of each class, has " in done.stderr
    assert "training needs 8 of each class" in done.stderr
    with pytest.raises(UserError, match="makes images of 32 px; tiny-imagenet has 64 px: adapt a larger model"):
        train(tmp_path, TINY_IMAGENET, None, replace(SMALL, dataset="tiny-imagenet"))


def test_missing_training_data_is_one_line(tmp_path):
    done = run("train", "--dataset", "cifar10", "--data", tmp_path, "--output", tmp_path / "model")
    assert done.returncode == 2
    assert "error: dataset cifar10 is not in" in done.stderr
    assert "Traceback" not in done.stderr


# Adapting


@pytest.fixture(scope="module")
def adapter(made, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "clothes"
    chosen = AdaptSettings("fashion-mnist", str(made), str(made), held_out=200, rank=2, features=Schedule(4, 16, 2e-3), student=replace(SHORT, lr=0.05))
    adapt(folder, FASHION_MNIST, few, chosen, save_every=2)
    return folder


def test_an_adapter_is_read_by_diffusers_and_changes_the_images(adapter, made):
    pipe = StableDiffusionXLPipeline.from_pretrained(made, add_watermarker=False)
    noise = torch.randn(1, 4, 8, 8)
    call = {"prompt": "Bag", "latents": noise, "num_inference_steps": 1, "guidance_scale": 0.0, "output_type": "np"}
    plain = pipe(**call).images
    pipe.load_lora_weights(adapter)
    changed = pipe(**call).images
    assert np.abs(plain - changed).max() > 1e-3
    turbo = TurboSampler(str(made), lora=str(adapter))
    np.testing.assert_allclose(turbo.pipe(**call).images, changed, atol=1e-4)
    assert turbo.facts["model"] == "made + clothes"
    assert turbo.facts["model_trained_on"].endswith("; its adapter: fashion-mnist train, without the last 20 images of each class")
    assert len(turbo.facts["lora_sha256"]) == 64


def test_a_run_takes_an_adapter(adapter, made, ddbench):
    done = ddbench(
        "run", "--method", "generative-turbo", "--ipc", "2", "--repeats", "0", "--option", f"model={made}", "--option", f"lora={adapter}", "--runs", "runs"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("lora", "message"), [("nowhere", "is no folder of a LoRA adapter"), ("damaged", "can't be used with this model")])
def test_an_adapter_that_is_none_is_one_line(lora, message, tmp_path):
    folder = tmp_path / lora
    if lora == "damaged":
        folder.mkdir()
        (folder / "pytorch_lora_weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(UserError, match=message):
        TurboSampler("turbo-mini", lora=str(folder))


def test_an_adapter_of_another_architecture_is_one_line(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "TEXT_WIDTH", 16)
    architecture.pipeline(["a bag"]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="can't be used with this model"):
        TurboSampler(str(tmp_path), lora=str(adapter))


def test_distillation_without_a_teacher_and_no_loss_at_all_are_refused(made, few, tmp_path):
    with pytest.raises(UserError, match="the distillation loss needs a teacher"):
        adapt(tmp_path, FASHION_MNIST, few, AdaptSettings("fashion-mnist", str(made), None, student=SHORT))
    with pytest.raises(UserError, match="no loss of the student has a weight"):
        replace(SHORT, matching=0, adversarial=0, distillation=0)


def test_a_teacher_of_another_architecture_is_refused(made, few, tmp_path, monkeypatch):
    monkeypatch.setattr(architecture, "TEXT_WIDTH", 16)
    architecture.pipeline(["a bag"]).save_pretrained(tmp_path / "other")
    chosen = AdaptSettings("fashion-mnist", str(made), str(tmp_path / "other"), held_out=200, student=SHORT)
    with pytest.raises(UserError, match="has another architecture than the model: cross_attention_dim 32, not 64"):
        adapt(tmp_path / "adapter", FASHION_MNIST, few, chosen)


def test_adapting_in_two_processes_and_half_precision(made, few, tmp_path):
    """As ``accelerate launch`` and torchrun start it, here on the CPU."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "gdd_plugin.training.cli"]
    options = ["--model", made, "--teacher", made, "--dataset", "fashion-mnist", "--data", few, "--held-out", "200", "--output", tmp_path / "two"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "ACCELERATE_MIXED_PRECISION": "bf16", "OMP_NUM_THREADS": "1"}
    command = [*launch, "adapt", *map(str, options), "--scale", "0.002", *SIZES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "two" / "training.json").read_text())["processes"] == 2
    assert TurboSampler(str(made), lora=str(tmp_path / "two")).facts["lora"] == "two"


# What a model is worth


def test_the_numbers_of_a_model_card(made, few, monkeypatch):
    monkeypatch.setattr(evaluate, "PER_CLASS", 60)
    monkeypatch.setattr(evaluate, "RECIPE", replace(evaluate.RECIPE, steps=60, width=8))
    found = evaluate.evaluate(str(made), None, FASHION_MNIST, few, "held-out", 1)
    # An untrained generator teaches next to nothing; real images do.
    assert found["accuracy_percent"]["real"] > 60 > 40 > found["accuracy_percent"]["generated"]
    assert found["share_of_real"] == pytest.approx(found["accuracy_percent"]["generated"] / found["accuracy_percent"]["real"], abs=1e-3)
    for side, accuracy in found["accuracy_percent"].items():  # 20 held-out images of each class
        assert np.mean([one[side] for one in found["per_class_percent"].values()]) == pytest.approx(accuracy, abs=0.1)
    assert found["nearest_real_1st_percentile"]["unseen_real"] > 0


def test_a_model_is_measured_on_what_it_has_not_seen(made, few, tmp_path):
    assert evaluate.held_out([made], FASHION_MNIST) == 200
    assert evaluate.held_out([made], TINY_IMAGENET) == evaluate.HELD_OUT
    shutil.copytree(made, tmp_path / "all")
    story = json.loads((made / "training.json").read_text())
    story["settings"]["held_out"] = 0
    (tmp_path / "all" / "training.json").write_text(json.dumps(story))
    with pytest.raises(UserError, match="has seen all training images of fashion-mnist; give --split test"):
        evaluate.evaluate(str(tmp_path / "all"), None, FASHION_MNIST, few, "held-out", 1)


def test_a_card_is_of_a_model_that_was_trained_here(made, few, tmp_path):
    done = run("evaluate", made, "--data", few, "--lora", tmp_path, "--card")
    assert (done.returncode, done.stderr) == (2, "error: a model card is of the model itself: give --card without --lora\n")
    shutil.copytree(made, tmp_path / "other", ignore=shutil.ignore_patterns("training.json"))
    done = run("evaluate", tmp_path / "other", "--data", few, "--card")
    assert done.returncode == 2
    assert "training.json doesn't tell how the model was made" in done.stderr


def test_a_model_card_says_what_was_measured(made, tmp_path):
    scores = json.loads((models.BUNDLED["turbo-mini"] / "scores.json").read_text())
    shutil.copy(made / "training.json", tmp_path)
    card.write(tmp_path, scores)
    text = (tmp_path / "README.md").read_text()
    assert f"a share of **{100 * scores['share_of_real']:.1f} %**" in text
    assert "fashion-mnist train, without the last 20 images of each class" in text
    assert "--output DIR`, with other settings than the default ones, in " in text
    assert "matching has weight 1, adversarial has weight 0.1, distillation has weight 0.1" in text


def test_the_bundled_card_is_up_to_date_and_reaches_its_goals():
    folder = models.BUNDLED["turbo-mini"]
    scores = json.loads((folder / "scores.json").read_text())
    assert (folder / "README.md").read_text().splitlines()[1:] == card.render(folder, scores).splitlines()[1:]
    assert scores["split"] == "test"
    assert scores["share_of_real"] >= 0.94
    assert min(found["generated"] for found in scores["per_class_percent"].values()) >= 45
    assert scores["variety_share"] >= 0.85
    assert scores["nearest_real_1st_percentile"]["generated"] >= scores["nearest_real_1st_percentile"]["unseen_real"]


@pytest.mark.slow
def test_the_bundled_model_is_worth_what_its_card_says():
    """Both sides anew, one seed, on held-out training images."""
    found = evaluate.evaluate("turbo-mini", None, FASHION_MNIST, None, "held-out", 1)
    assert found["share_of_real"] >= 0.94
    assert found["variety_share"] >= 0.85
    assert found["milliseconds_per_image"] <= 2.5


def test_variety_and_nearest_by_known_sets():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    torch.manual_seed(0)
    net = evaluate.students.build("convnet3", 10, 28, 1, 8)
    whole = evaluate.variety(net, evaluate.distilled(images, labels, FASHION_MNIST, 50), FASHION_MNIST)
    same = np.concatenate([images[labels == label][:1].repeat(30, 0) for label in range(10)])
    assert evaluate.variety(net, evaluate.distilled(same, np.repeat(np.arange(10), 30), FASHION_MNIST, 30), FASHION_MNIST) < 0.01 * whole
    assert evaluate.nearest(images[:100], images[:1000]) < 0.1
    assert evaluate.nearest(images[1000:1100], images[:1000]) > 5


def test_the_last_images_of_each_class_are_held_out(few):
    real = data.Real(FASHION_MNIST, few, 200, 8)
    images, labels = datasets.load(FASHION_MNIST, "train", few)
    for label in range(10):
        ours = images[labels == label]
        np.testing.assert_array_equal(real.unseen[0][real.unseen[1] == label], ours[-20:])
        np.testing.assert_array_equal(real.images[real.labels == label], ours[:-20])


def test_pictures_are_drawn_class_by_class(few):
    real = data.Real(FASHION_MNIST, few, 200, 8)
    drawn = real.draw([3, 7], 5)
    assert real.labels[drawn].tolist() == [3] * 5 + [7] * 5
    torch.testing.assert_close(real.pictures(drawn), real.images[drawn] / 127.5 - 1)
