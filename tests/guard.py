"""Record scores and images that must stay the same, bit for bit, when the code changes.

Run this script on one machine before and after a change:

    python tests/guard.py before.json
    python tests/guard.py after.json --against before.json

``--against HEAD~3`` (or any other commit of this repository) also records that commit, at the same
time. The script runs every recipe, training backend, student and way of sampling at a small size.
It uses only commands, files and functions that the project promises to keep, so that it works on
both sides of a change. It uses one thread, since several may round sums differently in each run.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import click

ROOT = Path(__file__).parent.parent
# Needed to import `reference`. It replaces this folder, whose subfolders are named like packages.
sys.path[0] = str(ROOT / "tests" / "support")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
SEEDS = (0, 1)
STUDENTS = ("convnet3", "convnet4", "convnet3-bn", "resnet18", "alexnet", "vgg11", "mlp")
RECIPES = (
    "quickstart/1",
    "eccv2024/1",
    "dsa/1",
    "dcbench/1",
    "ddranking-hard/1",
    "ddranking-plain/1",
)
# Epochs over 100 images. Training is compiled from 50,000 passes on.
FEW, MANY = 2, 510
# Options of generative-turbo, beside those of `DEFAULTS`.
SAMPLING = {
    "default": {},
    "published": {"preset": "published", "copies": None},
    "no augmentation": {"pda": "none"},
    "augmentation of the paper": {"pda": "published", "copies": 2},
    **{
        f"prompts {style}": {"prompts": style}
        for style in ("photo", "centered", "diverse", "bare", "a {name} on a hanger")
    },
    **{f"decoder {name}": {"decoder": name} for name in ("vae", "fitted")},
    "decoder tiny": {"decoder": "tiny", "tiny": "./tiny"},
    "batches of 7": {"batch": 7},
    "64 pixels": {"size": 64},
    "bfloat16": {"dtype": "bfloat16"},
    "compiled": {"compile": "yes"},
    "adapter": {"lora": "./adapter"},
    "by the pipeline": {"model": "./lcm"},
    "v prediction": {"model": "./velocity"},
}


# Images are sampled alone, with a copy of each.
DEFAULTS = {"preset": "sampled", "copies": 1}


def ddbench(*arguments: str) -> dict:
    """Run a command and return the JSON document that it prints."""
    done = subprocess.run(
        [Path(sys.executable).parent / "ddbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(
            f"ddbench {' '.join(arguments)} failed: {done.stderr.strip().splitlines()[-1:]}"
        )
    return json.loads(done.stdout) if "--json" in arguments else {}


def sampled() -> Iterator[tuple[str, str]]:
    """Yield the name of each way of generating a set, and the hash of its images."""
    import torch

    from benchmark_adapters.builtin import ddbench_datasets
    from benchmark_adapters.types import Budget, Task
    from gdd_plugin.plugin import ddbench_methods

    torch.set_num_threads(1)
    _save_models()
    (turbo,) = ddbench_methods()
    defaults = {option.name: option.default for option in turbo.options} | DEFAULTS
    datasets = {dataset.name: dataset for dataset in ddbench_datasets()}

    def images_hash(options: dict, seed: int = 0, **part: int) -> str:
        task = Task(
            "quickstart",
            datasets["fashion-mnist"],
            seed,
            "cpu",
            6,
            defaults | options,
            lambda: None,
            lambda **values: None,
            **part,
        )
        digest = hashlib.sha256()
        for images, labels, *_ in turbo.distill(task, Budget(3600.0, time.monotonic() + 3600)):
            digest.update(
                torch.as_tensor(images).numpy().tobytes()
                + torch.as_tensor(labels).numpy().tobytes()
            )
        return digest.hexdigest()

    for name, options in SAMPLING.items():
        yield f"generative-turbo, {name}", images_hash(options)
    yield "generative-turbo, another seed", images_hash({}, seed=5)
    for part in range(2):
        yield f"generative-turbo, part {part} of 2", images_hash({}, part=part, parts=2)
    for method in ("generative-turbo", "random-real", "herding", "kmeans"):
        options = ["--option", "copies=1"] if method == "generative-turbo" else []
        record = ddbench(
            "run", "--method", method, "--ipc", "6", "--repeats", "0", "--json", *options
        )
        yield f"run of {method}", record["images_sha256"]


def _save_models() -> None:
    """Save the models that `SAMPLING` refers to.

    They are the bundled model with other schedulers, a random tiny decoder and a random adapter.
    """
    import torch
    from diffusers import (
        AutoencoderTiny,
        AutoPipelineForText2Image,
        EulerDiscreteScheduler,
        LCMScheduler,
    )
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    import gdd_plugin

    torch.manual_seed(0)
    pipe = AutoPipelineForText2Image.from_pretrained(
        Path(gdd_plugin.__file__).parent / "turbo_mini"
    )
    settings = {"timestep_spacing": "trailing"}
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.save_pretrained("lcm")
    pipe.scheduler = EulerDiscreteScheduler.from_config(
        pipe.scheduler.config, prediction_type="v_prediction", **settings
    )
    pipe.save_pretrained("velocity")
    channels = pipe.vae.config.latent_channels
    AutoencoderTiny(
        latent_channels=channels,
        encoder_block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
    ).save_pretrained("tiny")
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    pipe.save_lora_weights("adapter", unet_lora_layers=get_peft_model_state_dict(pipe.unet))


def scored() -> Iterator[tuple[str, dict]]:
    """Yield the scores of a run, of its images as a file, and of the run scored again."""
    quick = ("--repeats", "2", "--students", "mlp", "--json")
    run = ddbench("run", "--method", "random-real", "--ipc", "10", *quick)
    ddbench("export", run["run_id"], "--format", "eccv2024", "--output", "team")
    file = ddbench(
        "score", "team", "--format", "eccv2024", "--track", "quickstart", "--name", "team", *quick
    )
    again = ddbench("score", run["run_id"], "--repeats", "1", "--json")
    for name, record in (("a run", run), ("a file", file), ("a run again", again)):
        scores = {key: record[key] for key in ("images_sha256", "accuracies", "confusion")}
        # Older commits use the second name.
        others = record.get("other_students", record.get("cross"))
        yield f"score of {name}", scores | {"cross": others}


def trained() -> Iterator[tuple[str, dict]]:
    """Yield losses and accuracies for each recipe, backend and student, on 100 real images."""
    import reference
    import torch

    from benchmark_adapters import students, training

    torch.set_num_threads(1)
    images, labels, test = _clothes()

    def result(
        train, student: str, recipe: object, epochs: int, seed: int, width: int | None
    ) -> dict:
        torch.manual_seed(seed)
        net = students.build(student, 10, 28, 1, width)
        losses = train(net, images, labels, recipe, seed, epochs=epochs)
        return {"losses": losses, "accuracy": training.accuracy(net, *test)}

    for recipe in RECIPES:
        for seed in SEEDS:
            yield f"{recipe}, seed {seed}", result(training.train, "convnet3", recipe, FEW, seed, 8)
    # The first recipe has small batches, and the second large ones.
    for recipe in ("quickstart/1", "eccv2024/1"):
        yield f"{recipe}, compiled", result(training.train, "convnet3", recipe, MANY, 0, 8)
    for student in STUDENTS:
        yield f"student {student}", result(training.train, student, "eccv2024/1", FEW, 0, None)
    # These are the settings of the recipe eccv2024/1.
    plain = SimpleNamespace(batch_size=256, lr=0.01, momentum=0.9, weight_decay=5e-4)
    yield "plain loop", result(reference.train, "convnet3", plain, FEW, 0, 8)


def _clothes():
    """Return real training images, their labels, and some real test images with labels.

    The images are normalised for the challenge.
    """
    import torch

    run = ddbench("run", "--method", "random-real", "--ipc", "10", "--repeats", "0", "--json")
    ddbench("export", run["run_id"], "--format", "eccv2024", "--truth", "--output", "clothes")
    images = torch.load("clothes/fashionmnist.pt", weights_only=True)
    truth = torch.load("clothes/fashionmnist_test.pt", weights_only=True)
    test = truth["images_val"][:300], truth["labels_val"][:300]
    return images, torch.arange(10).repeat_interleave(10), test


def record() -> dict:
    """Return all results by name, and write files into the current folder."""
    results = {}
    for part in (trained, scored, sampled):
        for name, result in part():
            click.echo(name, err=True)
            results[name] = result
    return results


@contextlib.contextmanager
def recording(commit: str, output: Path) -> Iterator[None]:
    """Record the results of another commit while the block records those of the working tree."""
    with tempfile.TemporaryDirectory() as folder:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", f"{folder}/code", commit], check=True)
        try:
            other = subprocess.Popen(
                [sys.executable, __file__, str(output)],
                env={**os.environ, "PYTHONPATH": f"{folder}/code"},
            )
            yield
            if other.wait():
                raise click.ClickException(f"the guard failed at {commit}")
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/code"], check=True)


@click.command(help=__doc__)
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--against",
    metavar="FILE|COMMIT",
    help="Results to compare with: a file that this script wrote, or a commit.",
)
@click.pass_context
def main(context: click.Context, output: Path, against: str | None) -> None:
    os.environ.update(ENVIRONMENT)
    output, before = output.absolute(), Path(against or "").absolute()
    other: AbstractContextManager[None] = contextlib.nullcontext()
    if against and not before.is_file():
        before = output.with_name(f"{output.stem}-before.json")
        other = recording(against, before)
    with other, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        results = record()
        os.chdir(ROOT)
    output.write_text(json.dumps(results, indent=1) + "\n")
    if not against:
        return
    expected = json.loads(before.read_text())
    names = {**expected, **results}
    differing = [name for name in names if expected.get(name) != results.get(name)]
    for name in differing:
        click.echo(f"differs: {name}")
    if not differing:
        click.echo(f"all {len(results)} results are equal")
    context.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
