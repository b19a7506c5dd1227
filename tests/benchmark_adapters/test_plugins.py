"""Plugins: all components are registered through hooks, and broken plugins are reported."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from installing import install
from project import COMMAND, installed
from small_runs import run

from benchmark_adapters import plugins
from benchmark_adapters.execution import discovery
from benchmark_adapters.types import UserError


@pytest.fixture
def distribution(tmp_path):
    """Return a function that installs a module and its metadata into an importable folder."""

    def make(name, code):
        install(tmp_path, name.replace("-", "_"), textwrap.dedent(code), name)
        return tmp_path

    with installed(tmp_path):
        yield make


def hook(body):
    """Return the code of a plugin whose hook ``ddbench_methods`` has this body."""
    return f"""
from benchmark_adapters import hookimpl
from benchmark_adapters.types import Method

@hookimpl
def ddbench_methods():
    {body}
"""


def test_built_in_components_are_registered_through_hooks():
    found = discovery.installed()
    assert set(found.methods) >= {"generative-turbo", "random-real"}
    assert {"quickstart", "eccv2024-fixed", "eccv2024-generative"} <= set(found.tracks)
    assert set(found.datasets) == {"fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"}
    (turbo,) = (part for part in found.descriptions if part.name == "generative-turbo")
    assert (turbo.kind, turbo.plugin) == ("methods", "ddbench:generative-turbo")
    for track in found.tracks.values():
        assert found.recipes[track.recipe].student in found.students
        assert all(name in found.datasets for name in track.datasets)


def test_plugin_with_a_failing_import_is_reported_and_skipped(distribution, ddbench):
    folder = distribution("broken-plugin", "import a_module_that_is_not_there")
    found = discovery.installed()
    assert "generative-turbo" in found.methods
    assert [
        line
        for line in found.skipped
        if "broken-plugin" in line and "a_module_that_is_not_there" in line
    ]
    done = ddbench("list", "methods", path=[folder])
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: plugin broken-plugin:broken_plugin skipped")


def test_hook_that_exits_is_reported_and_skipped(distribution):
    distribution("quitter", hook("raise SystemExit(3)"))
    assert [
        line
        for line in discovery.installed().skipped
        if "quitter" in line and "SystemExit: 3" in line
    ]


def test_plugin_without_a_marked_hook_is_reported(distribution):
    distribution("unmarked", "def ddbench_methods():\n    return []\n")
    assert [
        line for line in discovery.installed().skipped if "unmarked" in line and "hookimpl" in line
    ]


def test_output_of_a_plugin_goes_to_stderr(distribution, ddbench):
    prints = "import os\nprint('hello')\nos.write(1, b'low-level')\n"
    folder = distribution("chatty", prints + hook('return [Method("chats", iter)]'))
    done = ddbench("list", "options", "chats", "--json", path=[folder])
    assert "hello" in done.stderr
    assert "low-level" in done.stderr
    assert json.loads(done.stdout) == {"options": {}}
    # Commands that don't use the plugin show nothing of what it prints.
    done = ddbench("list", "--json", path=[folder])
    assert done.stderr == ""
    assert set(json.loads(done.stdout)) == set(plugins.KINDS)


def test_failing_hook_is_reported_and_skipped(distribution):
    distribution("bad-hook", hook("return 1 / 0"))
    found = discovery.installed()
    assert "generative-turbo" in found.methods
    assert [line for line in found.skipped if "bad-hook" in line and "ZeroDivisionError" in line]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ('"noise"', "it returned str, expected Method"),
        ('Method("../up", iter)', "invalid name '../up'"),
    ],
)
def test_invalid_components_are_reported_and_skipped(distribution, part, reason):
    distribution("odd", hook(f"return [{part}]"))
    assert [line for line in discovery.installed().skipped if "odd:odd" in line and reason in line]


def test_name_that_another_plugin_has_is_skipped_and_both_are_named(distribution, ddbench):
    """ddbench's own parts come first, so none of them can be replaced."""
    folder = distribution(
        "rival", hook('return [Method("random-real", iter), Method("new", iter)]')
    )
    found = discovery.installed()
    assert [
        line
        for line in found.skipped
        if "rival:rival: method 'random-real' skipped, because ddbench:builtin has one" in line
    ]
    assert found.methods["random-real"].distill is not iter
    assert "new" in found.methods
    assert ddbench("list", path=[folder]).returncode == 0


def test_duplicate_name_within_one_plugin_is_skipped(distribution):
    distribution("double", hook('return [Method("same", iter), Method("same", list)]'))
    found = discovery.installed()
    assert found.methods["same"].distill is iter
    assert [line for line in found.skipped if "'same' skipped, because double:double" in line]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("ddbench_method()", "unknown hook ddbench_method skipped; did you mean ddbench_methods?"),
        ("ddbench_methods(extra)", "skipped because a hook is wrong: PluginValidationError"),
    ],
)
def test_wrong_hook_is_named_and_skipped(distribution, ddbench, signature, message):
    """A broken plugin stops no command."""
    code = hook("return []").replace("ddbench_methods()", signature)
    folder = distribution("misspelt", code)
    done = ddbench("list", "--json", path=[folder])
    assert done.returncode == 0
    assert "generative-turbo" in json.loads(done.stdout)["methods"]
    assert "plugin misspelt:misspelt" in done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_unknown_name_suggests_the_closest_name():
    with pytest.raises(
        UserError,
        match=r"unknown method 'generative-trubo'; did you mean generative-turbo\? known methods: ",
    ):
        discovery.installed().methods.require("generative-trubo")


def test_method_of_an_installed_plugin_runs(example_folder, ddbench):
    assert "good" not in ddbench("list", "methods").stdout
    done = ddbench("run", "--method", "good", "--track", "few", "--json", path=[example_folder])
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["method"], record["ipc"], len(record["accuracies"])) == (
        "ok",
        "good",
        2,
        2,
    )
    assert record["comparable"] is True


def test_listing_does_not_import_methods_given_as_import_paths(example_folder, tmp_path):
    command = [sys.executable, "-P", "-X", "importtime", COMMAND]
    done = subprocess.run(
        [*command, "list", "options", "options"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(example_folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"text", "number"} <= set(done.stdout.split())
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "ddbench_example.methods" in imported
    assert "ddbench_example.lazy" not in imported


def test_import_path_that_leads_nowhere_leaves_a_record_with_a_clear_message(
    example_plugins, tmp_path, methods_here
):
    _, record = run(example_plugins, tmp_path, "nowhere")
    assert (record.status, record.failed_stage, record.ipc) == ("error", "sampling", 0)
    assert record.message == (
        "the method raised AttributeError: module 'ddbench_example.lazy' has no attribute 'nowhere'"
    )
