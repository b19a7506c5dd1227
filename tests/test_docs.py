"""The documentation agrees with the code."""

import json
import re

from installing import install
from project import ROOT

from benchmark_adapters import hookspecs

# The page about writing a method.
METHOD_PAGE = ROOT / "docs" / "hooks.md"


def code(page):
    """Return the Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def install_block(page, tmp_path):
    """Install the only Python block of a page as a plugin, and return its folder."""
    (text,) = code(page)
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_method", text)
    return site


def test_every_hook_is_documented_and_typed():
    text = METHOD_PAGE.read_text()
    for name, function in vars(hookspecs).items():
        if name.startswith("ddbench_"):
            assert f"`{name}`" in text
            assert function.__doc__
            assert "return" in function.__annotations__


def test_example_on_the_method_page_runs(ddbench, tmp_path):
    site = install_block(METHOD_PAGE, tmp_path)
    command = ("run", "--method", "greys", "--option", "noise=9", "--ipc", "3", "--repeats", "0")
    done = ddbench(*command, path=[site])
    assert done.returncode == 0, done.stderr


def test_example_on_the_method_page_passes_every_check(ddbench, tmp_path, clock):
    clock.jump_after(40)
    site = install_block(METHOD_PAGE, tmp_path)
    done = ddbench("check-plugin", "greys", "--device", "cpu", "--json", path=[site])
    assert done.returncode == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    page = METHOD_PAGE.read_text()
    assert all(f"\n| {check['name']} |" in page for check in checks)


def test_example_in_the_readme_passes_every_check_and_is_short(ddbench, tmp_path, clock):
    clock.jump_after(40)
    (text,) = code(ROOT / "README.md")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    site = install_block(ROOT / "README.md", tmp_path)
    done = ddbench("check-plugin", "noise", "--device", "cpu", path=[site])
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_point_to_existing_files():
    for file in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
