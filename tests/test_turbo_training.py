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
from gdd_plugin import architecture, sampler
from gdd_plugin.sampler import TurboSampler, generator
from gdd_plugin.training import card, data, evaluate, journal, manifest, student
from gdd_plugin.training.adapt import Settings as AdaptSettings
from gdd_plugin.training.adapt import adapt
from gdd_plugin.training.denoiser import Denoiser, Prompts
from gdd_plugin.training.train import Settings, train

SHORT = student.Settings(steps=4, classes=2, generated=4, real=8)
SMALL = Settings(
    "fashion-mnist",
    seed=3,
    held_out=200,
    features_steps=4,
    features_batch=16,
    autoencoder_steps=4,
    autoencoder_batch=8,
    teacher_steps=4,
    teacher_batch=16,
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


# The whole training


def test_a_training_leaves_a_model_and_its_story(made):
    story = json.loads((made / "training.json").read_text())
    assert story["settings"]["seed"] == 3
    assert story["border"] == 2
    assert story["trained_on"] == "fashion-mnist train, without its last 200 images"
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
    """The interruption comes right after a checkpoint in each stage, one after the other."""
    saved = journal.Stage._save
    seen = set()

    def save_and_stop(stage):
        saved(stage)
        if stage.name not in seen:
            seen.add(stage.name)
            raise KeyboardInterrupt

    monkeypatch.setattr(journal.Stage, "_save", save_and_stop)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    train(tmp_path / "made", FASHION_MNIST, few, SMALL, save_every=2)
    assert_equal(weights(tmp_path / "made"), weights(made))
    logs = [[(row["stage"], row["step"], row["loss"]) for row in csv.DictReader((folder / "log.csv").open())] for folder in (made, tmp_path / "made")]
    assert logs[0] == logs[1]


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
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
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
    assert done.returncode == 1
    assert "Error: fashion-mnist train, without its last 960 images, has " in done.stderr
    assert "training needs 8 of each class" in done.stderr
    with pytest.raises(UserError, match="makes images of 32 px; tiny-imagenet has 64 px: adapt a larger model"):
        train(tmp_path, TINY_IMAGENET, None, replace(SMALL, dataset="tiny-imagenet"))


def test_missing_training_data_is_one_line(tmp_path):
    done = run("train", "--dataset", "cifar10", "--data", tmp_path, "--output", tmp_path / "model")
    assert done.returncode == 1
    assert "Error: dataset cifar10 is not in" in done.stderr
    assert "Traceback" not in done.stderr


# Adapting


@pytest.fixture(scope="module")
def adapter(made, few, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters") / "clothes"
    chosen = AdaptSettings("fashion-mnist", str(made), str(made), held_out=200, rank=2, features_steps=4, features_batch=16, student=replace(SHORT, lr=0.05))
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
    assert turbo.facts["model_trained_on"].endswith("; its adapter: fashion-mnist train, without its last 200 images")
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
    monkeypatch.setattr(evaluate, "PER_CLASS", 20)
    monkeypatch.setattr(evaluate, "RECIPE", replace(evaluate.RECIPE, steps=4, width=8))
    found = evaluate.evaluate(str(made), None, FASHION_MNIST, few, 200, "held-out", 1)
    assert found["split"] == "held-out"
    assert 0 <= found["accuracy_percent"]["generated"] <= 100
    assert set(found["per_class_percent"]) == set(FASHION_MNIST.class_names)


def test_a_model_card_says_what_was_measured(made, tmp_path):
    scores = json.loads((sampler.BUNDLED["turbo-mini"] / "scores.json").read_text())
    shutil.copy(made / "training.json", tmp_path)
    card.write(tmp_path, scores)
    text = (tmp_path / "README.md").read_text()
    assert f"a share of **{100 * scores['share_of_real']:.1f} %**" in text
    assert "fashion-mnist train, without its last 200 images" in text
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(UserError, match="no model card"):
        card.write(tmp_path, scores)


def test_the_bundled_card_is_up_to_date_and_reaches_its_goals():
    folder = sampler.BUNDLED["turbo-mini"]
    assert (folder / "README.md").read_text().splitlines()[1:] == card.render(folder).splitlines()[1:]
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["split"] == "test"
    assert scores["share_of_real"] >= 0.94
    assert min(found["generated"] for found in scores["per_class_percent"].values()) >= 45
    assert scores["variety_share"] >= 0.85
    assert scores["nearest_real_1st_percentile"]["generated"] >= scores["nearest_real_1st_percentile"]["unseen_real"]


@pytest.mark.slow
def test_the_bundled_model_is_worth_what_its_card_says():
    """Both sides anew, one seed, on held-out training images."""
    found = evaluate.evaluate("turbo-mini", None, FASHION_MNIST, None, 5000, "held-out", 1)
    assert found["share_of_real"] >= 0.94
    assert found["variety_share"] >= 0.85
    assert found["milliseconds_per_image"] <= 2.5


def test_variety_and_nearest_by_known_sets():
    images, labels = datasets.load(FASHION_MNIST, "test", bundled=True)
    torch.manual_seed(0)
    net = evaluate.students.build("convnet3", 10, 28, 1, 8)
    whole = evaluate.variety(net, (images[:1000], labels[:1000]), FASHION_MNIST)
    same = np.concatenate([images[labels == label][:1].repeat(30, 0) for label in range(10)])
    assert evaluate.variety(net, (same, np.repeat(np.arange(10), 30)), FASHION_MNIST) < 0.01 * whole
    assert evaluate.nearest(images[:100], images[:1000]) < 0.1
    assert evaluate.nearest(images[1000:1100], images[:1000]) > 5


def test_drawn_real_images_are_those_of_the_split_without_what_is_held_out(few):
    real = data.Real(FASHION_MNIST, few, 200, 8)
    images, _ = datasets.load(FASHION_MNIST, "train", few)
    assert len(real.images) == 800
    drawn = real.draw([3, 7], 5)
    assert real.labels[drawn].tolist() == [3] * 5 + [7] * 5
    torch.testing.assert_close(real.pictures(drawn), torch.from_numpy(images)[drawn] / 127.5 - 1)
