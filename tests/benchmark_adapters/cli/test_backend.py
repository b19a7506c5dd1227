"""The option ``--backend``, and the backend in the record."""

import json

import pytest
import reference
import torch
from safetensors.numpy import load_file
from small_runs import only

from benchmark_adapters import datasets
from benchmark_adapters.scoring import backends
from benchmark_adapters.scoring.images import normalise

SCORE = ("--device", "cpu", "--json")


def score(ddbench, example_folder, run, *arguments):
    """Score a run again; return the accuracies and the record's ``scoring`` section."""
    done = ddbench("score", run, *SCORE, *arguments, path=[example_folder])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    return record["accuracies"], record["scoring"]


@pytest.fixture
def run(real_runs):
    return only(real_runs, "few")


@pytest.mark.usefixtures("one_thread")
def test_reference_reproduces_the_accuracies_of_the_plain_loop(
    ddbench, example_plugins, example_folder, run
):
    arguments = ("--recipe", "short/1", "--backend", "reference")
    accuracies, scoring = score(ddbench, example_folder, run, *arguments)
    assert (scoring["requested"], scoring["fallback"]) == ("reference", None)
    assert scoring["backends"] == {"convnet3": "plain"}
    dataset, recipe = example_plugins.datasets["few"], example_plugins.recipes["short/1"]
    tensors = load_file(run / "images.safetensors")
    images, labels = normalise(tensors["images"], dataset), torch.from_numpy(tensors["labels"])
    test_images, test_labels = datasets.load(dataset, "test", bundled=True)
    expected = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = reference.convnet3(10, 28, 1, recipe.width)
        reference.train(net, images, labels, recipe, seed, epochs=2)
        test = normalise(test_images, dataset), torch.from_numpy(test_labels)
        expected.append(reference.accuracy(net, *test))
    assert accuracies == expected


def test_score_uses_auto_by_default(ddbench, example_folder, run):
    _, scoring = score(ddbench, example_folder, run, "--repeats", "1", "--students", "convnet3,mlp")
    assert (scoring["requested"], scoring["fallback"]) == ("auto", None)
    assert scoring["backends"] == {"convnet3": "fused", "mlp": "plain"}


def test_fast_uses_winograd_convolutions(ddbench, example_folder, run, monkeypatch):
    """Compiling takes a minute, so this test leaves it out; see the next one."""
    monkeypatch.setattr(backends, "_compiled", lambda loss, mode=None: loss)
    _, scoring = score(ddbench, example_folder, run, "--repeats", "1", "--backend", "fast")
    assert (scoring["requested"], scoring["fallback"]) == ("fast", None)
    assert scoring["backends"] == {"convnet3": "winograd"}


@pytest.mark.slow
def test_fast_is_compiled(ddbench, example_folder, run):
    arguments = ("--students", "mlp", "--repeats", "1", "--backend", "fast")
    _, scoring = score(ddbench, example_folder, run, *arguments)
    assert (scoring["requested"], scoring["fallback"]) == ("fast", None)
    assert scoring["backends"] == {"mlp": "compiled"}


def test_failed_compilation_is_recorded(ddbench, example_folder, run, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(backends, "_compiled", lambda loss, mode=None: fail)
    arguments = ("--repeats", "1", "--students", "mlp", "--backend", "fast")
    with pytest.warns(UserWarning, match="training without torch.compile"):
        _, scoring = score(ddbench, example_folder, run, *arguments)
    assert scoring["backends"] == {"mlp": "plain"}
    assert scoring["fallback"] == "torch.compile failed: RuntimeError"


def test_run_accepts_a_backend(ddbench, example_folder, methods_here):
    command = ("run", "--method", "good", "--track", "few", "--repeats", "1", *SCORE)
    done = ddbench(*command, "--backend", "reference", path=[example_folder])
    scoring = json.loads(done.stdout)["scoring"]
    assert (scoring["requested"], scoring["backends"]) == ("reference", {"convnet3": "plain"})


def test_unknown_backend_is_a_usage_error(ddbench):
    done = ddbench("run", "--method", "random-real", "--backend", "slow")
    assert done.returncode == 2
    assert "'slow' is not one of 'auto', 'reference', 'fast'" in done.stderr
