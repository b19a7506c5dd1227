"""What the documents say is so."""

import json
import re
from pathlib import Path

from installing import install

from benchmark_adapters import hookspecs

ROOT = Path(__file__).parent.parent


def code(file, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), re.DOTALL)


def test_every_hook_is_documented_and_typed():
    text = (ROOT / "docs" / "hooks.md").read_text()
    for name, function in vars(hookspecs).items():
        if name.startswith("ddbench_"):
            assert f"`{name}`" in text
            assert function.__doc__
            assert "return" in function.__annotations__


def test_the_method_of_the_hooks_page_runs(ddbench, tmp_path):
    (text,) = code("docs/hooks.md")
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_method", text)
    done = ddbench(
        "run",
        "--method",
        "greys",
        "--option",
        "noise=9",
        "--ipc",
        "3",
        "--repeats",
        "0",
        "--json",
        path=[site],
    )
    assert done.returncode == 0, done.stderr


def test_the_method_of_the_hooks_page_passes_every_check(ddbench, tmp_path, clock):
    clock.jump_after(40)
    (text,) = code("docs/hooks.md")
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_method", text)
    done = ddbench("check-plugin", "greys", "--device", "cpu", "--json", path=[site])
    assert done.returncode == 0, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    assert all(
        f"\n| {check['name']} |" in (ROOT / "docs" / "hooks.md").read_text() for check in checks
    )


def test_the_readmes_plugin_passes_its_checks_and_has_ten_lines(ddbench, tmp_path, clock):
    clock.jump_after(40)
    (text,) = code("README.md")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
    site = tmp_path / "site"
    site.mkdir()
    install(site, "my_method", text)
    done = ddbench("check-plugin", "noise", "--device", "cpu", path=[site])
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_lead_somewhere():
    for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
