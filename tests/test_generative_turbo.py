"""The method: the bundled model, folders of SDXL-Turbo's layout, and the rounds that come out."""

import json
import shutil
import time

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForText2Image, EulerAncestralDiscreteScheduler
from PIL import Image

from benchmark_adapters import datasets, students, training
from benchmark_adapters.budget import Budget
from benchmark_adapters.checks import balanced
from benchmark_adapters.datasets import CIFAR10, CIFAR100, FASHION_MNIST
from benchmark_adapters.plan import parse_options
from benchmark_adapters.recipes import QUICKSTART
from benchmark_adapters.types import Task, UserError
from gdd_plugin import architecture, decoders, method, models
from gdd_plugin.plugin import OPTIONS, ddbench_methods
from gdd_plugin.sampler import TurboSampler, generator

(GENERATIVE_TURBO,) = ddbench_methods()
DEFAULTS = {option.name: option.default for option in OPTIONS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random model in the layout of SDXL-Turbo's folder, as ``save_pretrained`` writes it."""
    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("models") / "random-turbo"
    architecture.pipeline(["a photo of a cat", "dog"]).save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def mini():
    return TurboSampler("turbo-mini")


def task(dataset=FASHION_MNIST, ipc=2, seed=0, facts=None, **options):
    def ready(**found):
        (facts if facts is not None else {}).update(found)

    return Task("quickstart", dataset, seed, "cpu", ipc, {**DEFAULTS, **options}, lambda: pytest.fail("real images were asked for"), ready)


def rounds(todo, seconds=1000.0):
    return [tuple(np.asarray(part) for part in value) for value in method.rounds(todo, Budget(seconds, time.monotonic() + seconds))]


def collect(todo):
    parts = zip(*rounds(todo), strict=True)
    return balanced(*map(np.concatenate, parts), todo.dataset, todo.ipc)


# The bundled model


def test_the_bundled_model_is_a_complete_sdxl_folder_of_at_most_8_mb():
    root = models.BUNDLED["turbo-mini"]
    index = json.loads((root / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionXLPipeline"
    parts = {"text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "scheduler"}
    assert parts <= {path.name for path in root.iterdir() if path.is_dir()}
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) <= 8_000_000
    scheduler = json.loads((root / "scheduler" / "scheduler_config.json").read_text())
    assert (scheduler["_class_name"], scheduler["timestep_spacing"]) == ("EulerAncestralDiscreteScheduler", "trailing")
    story = json.loads((root / "training.json").read_text())
    assert story["border"] == 2
    assert len(story["settings"]["data_sha256"]) == 64


@pytest.fixture(scope="module")
def judge():
    """A student trained on the bundled real training images."""
    images, labels = datasets.load(FASHION_MNIST, "train", bundled=True)
    torch.manual_seed(0)
    net = students.build("convnet3", 10, 28, 1, width=32)
    training.train(net, training.normalise(images, FASHION_MNIST), torch.from_numpy(labels), QUICKSTART, 0)
    return net


def test_an_ordinary_pipeline_call_with_a_bare_class_name_gives_that_class(judge):
    pipe = AutoPipelineForText2Image.from_pretrained(models.BUNDLED["turbo-mini"])
    pipe.set_progress_bar_config(disable=True)
    names = [name for name in FASHION_MNIST.class_names for _ in range(20)]
    pictures = pipe(names, num_inference_steps=1, guidance_scale=0.0, generator=torch.Generator().manual_seed(0)).images
    assert pictures[0].size == (32, 32)
    pixels = np.stack([np.asarray(picture.convert("L").crop((2, 2, 30, 30))) for picture in pictures])[:, None]
    right = training.predict(judge, training.normalise(pixels, FASHION_MNIST)) == torch.arange(10).repeat_interleave(20)
    per_class = right.view(10, 20).float().mean(1)
    assert right.float().mean() > 0.7
    assert per_class.min() > 0.2  # no class is missing; Shirt is the hard one


@pytest.mark.parametrize("style", ["name", "photo", "diverse"])
def test_templates_are_understood(judge, style):
    made = collect(task(ipc=16, prompts=style, pda="none"))
    right = training.predict(judge, training.normalise(made.images, FASHION_MNIST)) == torch.from_numpy(made.labels)
    assert right.float().mean() > 0.65


# Sampling


@pytest.mark.parametrize("model", ["turbo-mini", "folder"])
def test_samples_are_the_pipelines_own(model, folder):
    name = str(folder) if model == "folder" else model
    turbo = TurboSampler(name)
    size = turbo.pipe.unet.config.sample_size
    prompts = ["Sneaker", "Bag", "Sneaker"]
    made = turbo.sample(prompts, [generator(0, 0, index) for index in range(3)])
    pipe = AutoPipelineForText2Image.from_pretrained(models.BUNDLED.get(name, name))
    pipe.set_progress_bar_config(disable=True)
    for index, prompt in enumerate(prompts):
        noise = torch.randn(1, 4, size, size, generator=generator(0, 0, index))
        picture = pipe(prompt, latents=noise, num_inference_steps=1, guidance_scale=0.0).images[0]
        edge = turbo.border
        expected = np.asarray(picture, np.int16).transpose(2, 0, 1)[:, edge : 32 - edge, edge : 32 - edge]
        assert np.abs(expected - made[index].numpy()).max() <= 1


def test_an_image_is_the_same_in_every_batch_to_rounding(mini):
    sources = lambda: [generator(3, label, 0) for label in range(10)]  # noqa: E731
    prompts = list(FASHION_MNIST.class_names)
    whole = mini.sample(prompts, sources()).short()
    parts = mini.sample(prompts, sources(), batch=3).short()
    assert (whole - parts).abs().max() <= 1


def test_noise_belongs_to_seed_class_and_index():
    draws = [torch.randn(8, generator=generator(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]]
    assert torch.equal(draws[0], draws[4])
    assert not any(torch.equal(draws[0], other) for other in draws[1:4])
    assert not torch.equal(torch.randn(8, generator=generator(1, 11, 0)), torch.randn(8, generator=generator(11, 1, 0)))


def test_text_is_encoded_once_for_each_prompt(mini, monkeypatch):
    calls, encode = [], mini.pipe.encode_prompt
    monkeypatch.setattr(mini.pipe, "encode_prompt", lambda prompt, **named: calls.append(prompt) or encode(prompt, **named))
    mini.sample(["a new one", "another", "a new one"] * 40, [generator(0, 0, index) for index in range(120)])
    assert [prompt for part in calls for prompt in part] == ["a new one", "another"]


def test_schedulers_with_other_spacing_become_trailing(folder, tmp_path):
    copy = tmp_path / "leading"
    shutil.copytree(folder, copy)
    config = copy / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "timestep_spacing": "leading"}))
    pipe = models.load(models.locate(str(copy)), "cpu")
    pipe.scheduler.set_timesteps(1)
    assert isinstance(pipe.scheduler, EulerAncestralDiscreteScheduler)
    assert pipe.scheduler.timesteps.tolist() == [999]
    assert pipe.scheduler.sigmas[0] == pytest.approx(14.6146, abs=1e-3)


def test_folders_that_hold_only_the_fp16_variant(folder, tmp_path):
    """SDXL-Turbo is published with fp16 files; on a CPU they are computed with in float32."""
    pipe = AutoPipelineForText2Image.from_pretrained(folder, dtype=torch.float16)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    assert list((tmp_path / "half" / "unet").glob("*.fp16.safetensors"))
    turbo = TurboSampler(str(tmp_path / "half"))
    assert turbo.pipe.unet.dtype == torch.float32
    assert turbo.sample(["cat"], [generator(0, 0, 0)]).shape == (1, 3, 32, 32)


# Models that aren't


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"is no model folder: it has no model_index.json"):
        TurboSampler(str(tmp_path))


@pytest.mark.parametrize("model", ["/not/there", "./missing", "turbo-maxi", "a b/c", "a/b/c"])
def test_a_folder_that_is_not_there(model):
    with pytest.raises(UserError, match=f"no model folder {model}; give a folder, a hub id such as"):
        TurboSampler(model)


def test_a_hub_that_cannot_be_reached(tmp_path, monkeypatch):
    """No hub is reachable where tests run; an empty cache and a closed port make sure of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"run `hf download stabilityai/sdxl-turbo` where there is a network, or give a folder") as caught:
        TurboSampler("stabilityai/sdxl-turbo")
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_one_line(folder, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="can't be loaded") as caught:
        TurboSampler(str(copy))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_index_is_one_line(tmp_path, text):
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(UserError, match="names no pipeline class"):
        TurboSampler(str(tmp_path))


def test_a_damaged_story_is_one_line(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "training.json").write_text("{")
    with pytest.raises(UserError, match=r"training.json is damaged"):
        TurboSampler(str(copy))


def test_pipelines_of_another_kind(folder, tmp_path):
    copy = tmp_path / "other"
    shutil.copytree(folder, copy)
    index = copy / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": "FluxPipeline"}))
    with pytest.raises(UserError, match="is a FluxPipeline; generative-turbo needs a StableDiffusionXLPipeline or a StableDiffusionPipeline"):
        TurboSampler(str(copy))


def test_the_weights_hash_sees_every_weight_and_trusts_the_hubs_names(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    before = models.locate(str(copy)).weights_sha256
    assert before == models.locate(str(folder)).weights_sha256
    (copy / "a_whole_checkpoint.safetensors").write_bytes(b"never loaded")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    blob = tmp_path / models._file_sha256(weights)  # the hub's cache names blobs by their sha256
    weights.rename(blob)
    weights.symlink_to(blob)
    assert models.locate(str(copy)).weights_sha256 == before
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert models.locate(str(copy)).weights_sha256 != before


# Size and channels


def fit(images, size, channels):
    return decoders.to_uint8(decoders.to_size(images.float(), size, channels))


def test_images_are_brought_to_size_as_pil_does_it():
    photo = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(photo).resize((64, 64)).resize((512, 512), Image.Resampling.BICUBIC))
    small = fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 32, 3)[0].numpy().astype(int)
    expected = np.asarray(Image.fromarray(photo).resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1).astype(int)
    assert np.abs(small - expected).max() <= 1
    grey = fit(torch.from_numpy(photo.transpose(2, 0, 1).copy())[None], 512, 1)[0, 0].numpy().astype(int)
    assert np.abs(grey - np.asarray(Image.fromarray(photo).convert("L")).astype(int)).max() <= 1


def test_downscaling_is_antialiased():
    stripes = torch.zeros(1, 3, 512, 512, dtype=torch.uint8)
    stripes[..., ::2] = 255
    assert fit(stripes, 32, 3).float().std() < 3


# Rounds


def test_rounds_go_round_robin_and_mark_the_copies():
    todo = task(ipc=4, copies=1, batch=7)
    labels = np.concatenate([labels for _, labels, _ in rounds(todo)])
    sampled = np.concatenate([marks for _, _, marks in rounds(todo)])
    assert labels[sampled].tolist() == [*range(10), *range(10)]
    assert sampled.tolist() == [True, False] * 20
    assert labels[~sampled].tolist() == labels[sampled].tolist()


def test_a_seed_decides_the_images():
    first, again, other = (collect(task(seed=seed)) for seed in (5, 5, 6))
    assert first.sha256 == again.sha256 != other.sha256
    assert first.images.shape == (20, 1, 28, 28)


def test_the_published_preset_samples_a_fifth_and_trims():
    facts = {}
    made = collect(task(ipc=7, preset="published", facts=facts))
    assert (made.ipc, made.generated_per_class) == (7, 2)  # ceil(7 / 5) samples, 4 copies of each, the last copies left out
    assert (facts["prompts"], facts["pda"], facts["copies"]) == ("bare", "published", 4)


def test_facts_for_the_record():
    facts = {}
    rounds(task(ipc=1, facts=facts, batch=20))
    assert (facts["model"], facts["batch"], facts["threads"]) == ("turbo-mini", 20, torch.get_num_threads())
    assert facts["model_trained_on"].startswith("fashion-mnist train")
    assert facts["model_licence"] == "Apache-2.0"
    assert len(facts["model_sha256"]) == 64


def test_any_sdxl_folder_serves_any_dataset(folder):
    facts = {}
    made = collect(task(CIFAR10, ipc=2, model=str(folder), prompts="photo", pda="published", facts=facts))
    assert made.images.shape == (20, 3, 32, 32)
    assert facts["model"] == "random-turbo"  # its name, not the folders above it


def test_defaults_depend_on_the_dataset():
    assert method.settings(DEFAULTS, "fashion-mnist").model == "turbo-mini"
    assert method.settings(DEFAULTS, "cifar100").model == "stabilityai/sdxl-turbo"
    published = method.settings({**DEFAULTS, "preset": "published"}, "cifar100")
    assert (published.prompts, published.pda, published.copies) == ("bare", "published", 4)
    mixed = method.settings({**DEFAULTS, "preset": "published", "pda": "none"}, "cifar100")
    assert (mixed.prompts, mixed.pda, mixed.copies) == ("bare", "none", 0)


@pytest.mark.parametrize("text", ["copies=-1", "copies=101", "batch=0", "batch=5000", "prompts=poem", "prompts={nmae}"])
def test_options_out_of_range(text):
    with pytest.raises(UserError, match=f"--option {text}: expected "):
        parse_options(GENERATIVE_TURBO, [text])


def test_a_model_hears_of_cifar100_in_the_datasets_order(folder, monkeypatch):
    heard, latents = [], TurboSampler.latents

    def listening(self, prompts, generators):
        heard.extend(prompts)
        return latents(self, prompts, generators)

    monkeypatch.setattr(TurboSampler, "latents", listening)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)  # one lane, so that batches come in order
    made = rounds(task(CIFAR100, ipc=1, preset="published", model=str(folder), decoder="vae"))
    labels = np.concatenate([labels for _, labels, _ in made])
    spoken = dict(zip(labels[::5].tolist(), heard, strict=True))
    assert [spoken[label] for label in (0, 1, 4, 30, 99)] == ["apple", "aquarium fish", "beaver", "dolphin", "worm"]


def test_a_hub_id_is_found_in_the_hubs_cache_without_network(folder, tmp_path, ddbench):
    """The layout that `hf download` leaves, made from the random model: blobs, a snapshot of links, a ref."""
    AutoPipelineForText2Image.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    repo = tmp_path / "hub" / "models--someone--random-turbo"
    snapshot = repo / "snapshots" / ("a" * 40)
    for file in (path for path in (tmp_path / "half").rglob("*") if path.is_file()):
        blob = repo / "blobs" / models._file_sha256(file)
        blob.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(tmp_path / "half")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    arguments = ["run", "--method", "generative-turbo", "--option", "model=someone/random-turbo", "--repeats", "0", "--json"]
    done = ddbench(*arguments, HF_HUB_CACHE=str(tmp_path / "hub"), HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"] == "someone/random-turbo"
    assert record["model_sha256"] == models.locate(str(tmp_path / "half")).weights_sha256
    assert record["model_trained_on"] == "not stated by the model"


def test_a_missing_accelerator_is_one_line(ddbench):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = ddbench("run", "--method", "generative-turbo", "--device", "cuda", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no cuda device is here; run with --device auto or cpu\n")
