"""`ddbench gpu-check`: on this machine's CPU, and on a GPU that is only claimed to be there."""

import json

import pytest
import torch
from click.testing import CliRunner

from benchmark_adapters.cli.main import commands
from gdd_plugin.decoders.fitted import convolutional
from gdd_plugin.gpu_check import measure, shapes
from gdd_plugin.gpu_check.report import Report
from gdd_plugin.models.one_step import TurboSampler

KEYS = {"device", "unet", "decoders", "scoring", "repeatable", "skipped"}


@pytest.fixture
def quick(monkeypatch):
    """Measure each time once, two batches, little training, and without a compiler."""
    monkeypatch.setattr(measure, "SECONDS", 0.01)
    monkeypatch.setattr(measure, "SCORED", 20)
    monkeypatch.setattr(measure, "BATCHES", (2, 4))
    monkeypatch.setattr(measure, "COMPILED_BATCHES", (4,))
    monkeypatch.setattr(convolutional, "STEPS", 3)
    monkeypatch.setattr("gdd_plugin.models.compilation.compile_blocks", lambda network, call: "")


def gpu_check(*arguments):
    done = CliRunner().invoke(commands, ["gpu-check", "--device", "cpu", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.usefixtures("quick")
def test_cpu_measures_what_it_can_and_lists_the_rest():
    document = json.loads(gpu_check("--json"))
    assert set(document) == KEYS
    assert document["device"]["device"] == "cpu"
    assert document["device"]["torch"] == torch.__version__.partition("+")[0]
    rows = document["unet"]["rows"]
    assert [(row["batch"], row["mode"]) for row in rows] == [
        (2, "eager"),
        (4, "eager"),
        (4, "compiled"),
    ]
    for row in rows:
        assert row["images_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"], rel=0.01)
    assert {(row["decoder"], row.get("map")) for row in document["decoders"]} == {
        ("vae", None),
        ("fitted", "ridge"),
        ("fitted", "convolutional"),
    }
    assert all(row["fit_seconds"] >= 0 for row in document["decoders"] if "map" in row)
    # The plain loop is beside the faster one.
    assert [row["backend"] for row in document["scoring"]] == ["reference", "fused"]
    assert all(row["seconds"] > 0 for row in document["scoring"])
    assert document["repeatable"] == {"same_seed": True}
    assert set(document["skipped"].values()) == {"there is no CUDA GPU"}
    assert any("SDXL-Turbo" in name for name in document["skipped"])


@pytest.mark.usefixtures("quick")
def test_report_is_shown_as_tables():
    text = gpu_check()
    for title in ("network: model turbo-mini", "decoders", "an epoch of scoring"):
        assert f"\n{title}" in text
    assert "skipped TF32 in both memory formats: there is no CUDA GPU" in text


def test_rates_are_shown_beside_expectations():
    report = Report(unet={"model": "sdxl-turbo", "rows": []})
    for mode, rate in (("eager", 100.0), ("compiled", 200.0)):
        report.unet["rows"].append({"size": 512, "batch": 16, "mode": mode, "ms": 0.0})
        report.unet["rows"][-1]["images_per_second"] = rate
    report.decoders.append({"decoder": "vae", "size": 512, "ms_per_image": 10.0})
    first, *others = report.rates()
    # 10 ms for the network and 10 ms for the decoder; 5 ms and 10 ms.
    assert (first["decoder"], first["eager"], first["compiled"]) == ("vae", "50", "67")
    assert "65 to 90" in first.values()
    assert all(row["eager"] == row["compiled"] == "-" for row in others)
    assert "whole images per second" in report.text()


def test_networks_have_the_parameters_of_sdxl_turbo():
    """Published: 2.6 billion in the UNet, 84 million in the autoencoder, 2.4 million in TAESDXL."""
    with torch.device("meta"):
        networks = shapes.unet(), shapes.autoencoder()
    counts = [sum(weights.numel() for weights in network.parameters()) for network in networks]
    assert counts[0] == 2_567_463_684
    assert counts[1] == 83_653_863


@pytest.mark.parametrize("size", [512, 256])
def test_call_of_the_network_has_sdxl_shapes(monkeypatch, size):
    """The networks are on torch's meta device: they compute shapes and no values."""
    monkeypatch.setattr(
        shapes, "_draw", lambda network, device, dtype: torch.nn.Module.to(network, dtype)
    )
    pipe = shapes.pipeline("meta", torch.float16)
    monkeypatch.setattr("gdd_plugin.models.optimize.optimize", lambda pipe: None)
    sampler = TurboSampler.of(pipe, "meta", size)
    output = measure._call(sampler, 3)()
    assert output.shape == (3, 4, size // 8, size // 8)
    assert output.dtype == torch.float16


def test_out_of_memory_ends_the_larger_batches(monkeypatch, mini):
    """Memory that runs out is faked."""

    def full(sampler, batch):
        def call():
            if batch > 8:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return call

    monkeypatch.setattr(measure, "SECONDS", 0.001)
    monkeypatch.setattr(measure, "_call", full)
    rows = list(measure._rates(mini, "eager", (4, 8, 16, 32)))
    assert [row["batch"] for row in rows] == [4, 8]
