"""The documents agree with the code."""

import json
import re

from installing import install
from project import ROOT

from benchmark_adapters import hookspecs


def code(file):
    """Return the blocks of Python in a document."""
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


def installed_block(file, tmp_path):
    """Install a document's only block of Python as a plugin; return the folder."""
    (text,) = code(file)
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_method", text)
    return site


def test_every_hook_is_documented_and_typed():
    text = (ROOT / "docs" / "hooks.md").read_text()
    for name, function in vars(hookspecs).items():
        if name.startswith("ddbench_"):
            assert f"`{name}`" in text
            assert function.__doc__
            assert "return" in function.__annotations__


def test_the_method_of_the_hooks_page_runs(ddbench, tmp_path):
    site = installed_block("docs/hooks.md", tmp_path)
    command = ("run", "--method", "greys", "--option", "noise=9", "--ipc", "3", "--repeats", "0")
    done = ddbench(*command, path=[site])
    assert done.returncode == 0, done.stderr


def test_the_method_of_the_hooks_page_passes_every_check(ddbench, tmp_path, clock):
    clock.jump_after(40)
    site = installed_block("docs/hooks.md", tmp_path)
    done = ddbench("check-plugin", "greys", "--device", "cpu", "--json", path=[site])
    assert done.returncode == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    page = (ROOT / "docs" / "hooks.md").read_text()
    assert all(f"\n| {check['name']} |" in page for check in checks)


def test_the_readmes_plugin_passes_its_checks_and_has_ten_lines(ddbench, tmp_path, clock):
    clock.jump_after(40)
    (text,) = code("README.md")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    site = installed_block("README.md", tmp_path)
    done = ddbench("check-plugin", "noise", "--device", "cpu", path=[site])
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_lead_somewhere():
    for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
