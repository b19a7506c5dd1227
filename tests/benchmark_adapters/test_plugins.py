"""Plugins: our own parts and those of others enter by the same hooks; broken ones are named."""

import json
import sys
import textwrap
from types import SimpleNamespace

import pluggy
import pytest

from benchmark_adapters import hookimpl, hookspecs, plugins
from benchmark_adapters.types import Method, UserError


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Puts a module and its metadata into an importable folder, as an installer would."""

    def make(name, code):
        module = name.replace("-", "_")
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ddbench]\n{module} = {module}\n")
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_our_own_parts_come_by_hooks():
    installed = plugins.build()
    assert set(installed.methods) >= {"generative-turbo", "random-real"}
    assert {"quickstart", "eccv2024-fixed", "eccv2024-generative"} <= set(installed.tracks)
    assert set(installed.datasets) == {"fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"}
    (turbo,) = (part for part in installed.descriptions if part.name == "generative-turbo")
    assert (turbo.kind, turbo.plugin) == ("methods", "ddbench:generative-turbo")
    for track in installed.tracks.values():
        assert installed.recipes[track.recipe].student in installed.students
        assert all(name in installed.datasets for name in track.datasets)


def test_failed_import_is_reported_and_skipped(distribution, ddbench):
    folder = distribution("broken-plugin", "import a_module_that_is_not_there")
    installed = plugins.build()
    assert "generative-turbo" in installed.methods
    assert [
        line
        for line in installed.skipped
        if "broken-plugin" in line and "a_module_that_is_not_there" in line
    ]
    done = ddbench("list", "methods", path=[folder])
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: plugin broken-plugin:broken_plugin skipped")


def test_a_hook_that_exits_is_reported_and_skipped(distribution):
    distribution(
        "quitter",
        "import sys\nfrom benchmark_adapters import hookimpl\n@hookimpl\ndef ddbench_methods():\n    sys.exit(3)\n",
    )
    assert [
        line for line in plugins.build().skipped if "quitter" in line and "SystemExit: 3" in line
    ]


def test_a_plugin_without_a_marked_hook_is_named(distribution):
    distribution("unmarked", "def ddbench_methods():\n    return []\n")
    assert [line for line in plugins.build().skipped if "unmarked" in line and "hookimpl" in line]


def test_what_a_plugin_prints_stays_off_stdout(distribution, ddbench):
    folder = distribution(
        "chatty",
        "print('hello')\nfrom benchmark_adapters import hookimpl\n@hookimpl\ndef ddbench_methods():\n    return []\n",
    )
    done = ddbench("list", "--json", path=[folder])
    assert "hello" in done.stderr
    assert set(json.loads(done.stdout)) == set(plugins.KINDS)


def test_failing_hook_is_reported_and_skipped(distribution):
    distribution(
        "bad-hook",
        "from benchmark_adapters import hookimpl\n@hookimpl\ndef ddbench_methods():\n    return 1 / 0\n",
    )
    installed = plugins.build()
    assert "generative-turbo" in installed.methods
    assert [
        line for line in installed.skipped if "bad-hook" in line and "ZeroDivisionError" in line
    ]


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ('"noise"', "it returned str, expected Method"),
        ('Method("../up", iter)', "the name '../up' has other characters"),
    ],
)
def test_parts_that_are_none_are_reported_and_skipped(distribution, part, reason):
    code = "from benchmark_adapters import hookimpl\nfrom benchmark_adapters.types import Method\n"
    distribution("odd", code + f"@hookimpl\ndef ddbench_methods():\n    return [{part}]\n")
    assert [line for line in plugins.build().skipped if "odd:odd" in line and reason in line]


def test_duplicate_name_names_both_distributions(distribution, ddbench):
    code = """
        from benchmark_adapters import hookimpl
        from benchmark_adapters.types import Method
        @hookimpl
        def ddbench_methods():
            return [Method("random-real", lambda task, budget: iter(()))]
    """
    folder = distribution("rival", code)
    with pytest.raises(
        UserError,
        match=r"two plugins have a method 'random-real': ddbench:builtin and rival:rival",
    ):
        plugins.build()
    done = ddbench("list", path=[folder])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_two_parts_of_one_plugin_with_one_name_are_an_error():
    manager = pluggy.PluginManager("ddbench")
    manager.add_hookspecs(hookspecs)
    twice = [Method("same", iter), Method("same", iter)]
    manager.register(SimpleNamespace(ddbench_methods=hookimpl(lambda: twice)), name="double")
    with pytest.raises(UserError, match="'same'"):
        plugins.build(manager)


@pytest.mark.parametrize("hook", ["def ddbench_method():", "def ddbench_methods(extra):"])
def test_misspelt_hook_is_an_error(distribution, ddbench, hook):
    folder = distribution(
        "misspelt", f"from benchmark_adapters import hookimpl\n@hookimpl\n{hook}\n    return []\n"
    )
    with pytest.raises(UserError, match="misspelt"):
        plugins.build()
    done = ddbench("list", path=[folder])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: plugin misspelt:misspelt: ")
    assert done.stderr.count("\n") == 1


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(
        UserError,
        match=r"unknown method 'generative-trubo'; did you mean generative-turbo\? known: ",
    ):
        plugins.build().methods.require("generative-trubo")


def test_method_installed_by_pip_runs_through_the_command(example_folder, ddbench):
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
