"""The training of turbo-mini: its loss by hand, its single step, and the whole command at a thousandth of its length."""

import csv
import json
import struct

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmark_adapters import datasets
from gdd_plugin import architecture, train_mini
from gdd_plugin.sampler import TurboSampler, generator


def test_energy_distance_by_hand():
    """One class on a line: samples at 0 and 2, real points at 1 and 4."""
    generated, real = torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[1.0], [4.0]]])
    between = (1 + 4 + 1 + 2) / 4
    within_generated, within_real = 2.0, 3.0
    expected = (2 * between - within_generated - within_real) / within_real
    assert train_mini.energy_distance(generated, real).tolist() == pytest.approx([expected], abs=1e-5)


def test_energy_distance_tells_distributions_apart_and_has_a_gradient():
    torch.manual_seed(0)
    real = torch.randn(3, 500, 4)
    same, shifted = torch.randn(3, 500, 4), torch.randn(3, 500, 4) + torch.tensor([0.0, 0.5, 2.0])[:, None, None]
    assert train_mini.energy_distance(same, real).abs().max() < 0.02
    distances = train_mini.energy_distance(shifted, real)
    assert distances[0] < 0.02 < distances[1] < distances[2]
    shifted.requires_grad_()
    train_mini.energy_distance(shifted, real).sum().backward()
    assert shifted.grad is not None
    assert torch.isfinite(shifted.grad).all()
    assert (shifted.grad[2].mean(0) > 0).all()  # towards the real points


def test_the_trained_step_is_the_pipelines_step():
    turbo = TurboSampler("turbo-mini")
    turbo.pipe.scheduler.set_timesteps(1)
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator(0, 0, index)) for index in range(3)])
    with torch.inference_mode():
        embeds, pooled = train_mini.embed(turbo.pipe, ["Sneaker", "a photo of a Bag", "Coat"])
        ours = train_mini.one_step(turbo.pipe, noise, embeds, pooled)
        theirs = turbo.pipe(["Sneaker", "a photo of a Bag", "Coat"], latents=noise, num_inference_steps=1, guidance_scale=0.0, output_type="latent").images
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_model_learns_bare_names_and_templates():
    wordings = train_mini.known_prompts()
    assert "T-shirt/top" in wordings[0]
    assert "a photo of a T-shirt" in wordings[0]
    words = architecture.tokenizer([prompt for known in wordings for prompt in known])
    assert max(len(words(prompt).input_ids) for known in wordings for prompt in known) < architecture.PROMPT_TOKENS
    assert words.unk_token_id not in words("Zebra: ½ ñandú 象").input_ids[1:-1]  # it can spell anything


def test_the_whole_training_in_small(tmp_path):
    """Real test images stand for the training split here: only the mechanics are looked at."""
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    for name, array in (("images-idx3", images[:5200, 0]), ("labels-idx1", labels[:5200])):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (tmp_path / f"train-{name}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    (tmp_path / "t10k-images-idx3-ubyte").touch()
    output = tmp_path / "model"
    done = CliRunner().invoke(train_mini.main, ["train", "--output", str(output), "--data", str(tmp_path), "--scale", "0.001", "--seed", "3"])
    assert done.exit_code == 0, done.output
    story = json.loads((output / "training.json").read_text())
    assert story["settings"]["seed"] == 3
    assert story["border"] == 2
    assert {row["stage"] for row in csv.DictReader((output / "log.csv").open())} == {"autoencoder", "features", "generator"}
    turbo = TurboSampler(str(output))
    assert turbo.border == 2
    assert turbo.sample(["Sneaker"], [generator(0, 0, 0)]).shape == (1, 3, 28, 28)


def test_missing_training_data_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_places", lambda dataset, data: iter([tmp_path]))
    done = CliRunner().invoke(train_mini.main, ["train", "--output", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: dataset fashion-mnist is not in {tmp_path}; get it with")
