"""The documents agree with the code, their examples run, and the site builds."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import click
import picture_folders
import pytest
import torch
from installing import install
from PIL import Image
from project import ROOT

from benchmark_adapters import datasets, hookspecs
from benchmark_adapters.cli.main import commands as ddbench_commands
from benchmark_adapters.scoring.recipes import QUICKSTART
from gdd_plugin.training.cli import commands as turbo_commands

EXTENDING = "docs/extending"
PAGES = (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))


def code(file, language="python"):
    """Return the blocks of a language in a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


def commands(file):
    """Return the arguments of each ``ddbench`` command in a document, with lines joined."""
    text = "".join(code(file, "sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [arguments[1:] for arguments in lines if arguments[:1] == ["ddbench"]]


def installed_block(file, tmp_path, index=-1):
    """Install a document's block of Python as a plugin, by default the last; return the folder."""
    text = code(file)[index]
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_plugin", text)
    return site


def test_every_hook_is_documented_and_typed():
    text = (ROOT / EXTENDING / "method.md").read_text()
    for name, function in vars(hookspecs).items():
        if name.startswith("ddbench_"):
            assert f"| `{name}` |" in text
            assert function.__doc__
            assert "return" in function.__annotations__


def test_every_command_is_documented():
    text = (ROOT / "docs/cli.md").read_text()
    for group in (ddbench_commands, turbo_commands):
        for name in group.list_commands(click.Context(group)):
            assert re.search(rf"<!-- \$ ddbench(-turbo)? {name} --help -->", text), name


def test_the_example_method_runs(ddbench, tmp_path):
    site = installed_block(f"{EXTENDING}/method.md", tmp_path)
    command = ("run", "--method", "greys", "--option", "noise=9", "--ipc", "3", "--repeats", "0")
    done = ddbench(*command, path=[site])
    assert done.returncode == 0, done.stderr


def test_the_example_method_passes_every_check_and_the_page_lists_them(ddbench, tmp_path, clock):
    clock.jump_after(40)
    site = installed_block(f"{EXTENDING}/method.md", tmp_path)
    done = ddbench("check-plugin", "greys", "--device", "cpu", "--json", path=[site])
    assert done.returncode == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    page = (ROOT / EXTENDING / "method.md").read_text()
    assert all(f"\n| {check['name']} |" in page for check in checks)


def test_the_smallest_method_passes_its_checks_and_has_ten_lines(ddbench, tmp_path, clock):
    clock.jump_after(40)
    text, plugin, *_ = code(f"{EXTENDING}/method.md")
    lines = text.splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) <= 10
    (tmp_path / "noise.py").write_text(text)
    done = ddbench("check-plugin", "noise.py", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "def ddbench_methods" in plugin
    site = installed_block(f"{EXTENDING}/method.md", tmp_path, index=1)
    done = ddbench("check-plugin", "noise", "--device", "cpu", path=[site])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_dataset_is_found_and_distilled(ddbench, tmp_path):
    site = installed_block(f"{EXTENDING}/dataset.md", tmp_path)
    images, labels = datasets.load(datasets.FASHION_MNIST, "test", bundled=True)
    for split in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / "data" / "pets" / split / name
            folder.mkdir(parents=True)
            for index, image in enumerate(images[labels == label][:12]):
                Image.fromarray(image[0]).resize((32, 32)).save(folder / f"{index}.png")
    command = ("run", "--method", "random-real", "--track", "pets", "--repeats", "0")
    done = ddbench(*command, "--data", tmp_path / "data", "--json", path=[site])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ipc"] == 10


def test_the_example_student_is_trained(ddbench, tmp_path):
    site = installed_block(f"{EXTENDING}/student.md", tmp_path)
    command = ("run", "--method", "random-real", "--students", "linear", "--repeats", "1")
    done = ddbench(*command, "--json", path=[site])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["student"] == "linear"
    assert record["accuracy_mean"] > 0.5


def test_the_example_track_and_recipe_are_listed_and_used(ddbench, tmp_path):
    site = installed_block(f"{EXTENDING}/track.md", tmp_path)
    done = ddbench("list", "--json", path=[site])
    installed = json.loads(done.stdout)
    assert installed["tracks"]["sprint"]
    assert installed["recipes"]["sprint/1"]
    command = next(one for one in commands(f"{EXTENDING}/track.md") if one[0] == "run")
    done = ddbench(*command, "--ipc", "1", "--repeats", "1", "--json", path=[site])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["track"], record["recipe"]) == ("sprint", "sprint/1")
    assert len(record["accuracies"]) == 1


def test_the_example_format_writes_what_it_reads(ddbench, tmp_path, monkeypatch):
    site = installed_block(f"{EXTENDING}/format.md", tmp_path)
    # Hardly train the class-order probe; test_class_order.py trains it.
    monkeypatch.setattr("benchmark_adapters.checks.class_order.MAX_STEPS", 5)
    command = ("run", "--method", "random-real", "--ipc", "2", "--repeats", "0", "--json")
    run = json.loads(ddbench(*command).stdout)["run_id"]
    done = ddbench("export", run, "--format", "npy", "--output", "files", path=[site])
    assert done.returncode == 0, done.stderr
    check = ("check", "files", "--format", "npy", "--dataset", "fashion-mnist", "--json")
    done = ddbench(*check, path=[site])
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["ipc"] == 2


def test_the_commands_for_own_pictures_run(ddbench, methods_here, tmp_path, monkeypatch):
    # Hardly train the network that kmeans needs; test_coreset.py trains it.
    monkeypatch.setattr(
        "benchmark_adapters.scoring.features.QUICKSTART", replace(QUICKSTART, steps=5)
    )
    picture_folders.write(tmp_path / "pets", count=12)
    data, *runs = commands("docs/own-data.md")
    assert "3 classes, 32x32 pixels" in ddbench(*data).stdout
    for command in runs:
        done = ddbench(*command, "--repeats", "0", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["dataset"] == "pets"
    pasted = next(command for command in commands("README.md") if "pets/" in command)
    assert pasted in runs


@pytest.mark.parametrize("own_pictures", [False, True])
def test_an_organiser_gets_from_an_empty_folder_to_a_page(
    ddbench, methods_here, tmp_path, untrained_probe, own_pictures
):
    (track,) = code("docs/challenge.md", "toml")
    team_model = ()
    if own_pictures:
        picture_folders.write(tmp_path / "pets", count=12)
        (changed,) = re.findall(r"`(datasets = .*?)`", (ROOT / "docs/challenge.md").read_text())
        track = re.sub(r"datasets = .*", changed, re.sub(r"bundled_data.*", "", track))
        team_model = ("--option", "model=turbo-mini")
    # A student that is trained in seconds, once.
    quick = track.replace('"convnet3"', '"mlp"').replace("repeats = 3", "repeats = 1")
    assert quick.count("mlp") == quick.count("repeats = 1") == 1
    (tmp_path / "challenge.toml").write_text(quick)
    pasted = commands("docs/challenge.md")
    baseline, *rest = pasted[pasted.index(next(one for one in pasted if "random-real" in one)) :]
    team, export, score, board = rest
    for command in (baseline, [*team, *team_model]):
        done = ddbench(*command, "--json")
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["comparable"], record["not_comparable_because"]
    export[export.index("RUN")] = record["run_id"]
    for command in (export, score, board):
        done = ddbench(*command)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "board" / "index.html").read_text()
    assert "clothes-sprint" in page
    assert "ours" in page


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "docs/runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        for block in code("docs/python.md"):
            exec(compile(block, "docs/python.md", "exec"), {})
    assert "torch.uint8" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target


def test_the_site_builds_without_warnings(tmp_path):
    options = ("-W", "--keep-going", "-q")
    command = (sys.executable, "-m", "sphinx", *options, "docs", tmp_path / "site")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
