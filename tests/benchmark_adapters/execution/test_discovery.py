"""Third-party plugins that do all they can while they are imported, in processes of their own."""

import contextlib
import json
import os
import sys
import time

import psutil
import pytest
from installing import install, install_method
from project import installed, wait_for
from sample_sets import random_set

from benchmark_adapters.datasets import CIFAR10
from benchmark_adapters.execution import discovery
from benchmark_adapters.formats import imagefolder

# What a plugin does when it is imported, and the reason for which it is skipped.
FATAL = {
    "raises": ("raise RuntimeError('no\\nmodel')", "failed: RuntimeError: no model"),
    "exits": ("raise SystemExit(3)", "failed: SystemExit: 3"),
    "leaves": ("import os; os._exit(0)", "ended its process with exit code 0"),
    "kills": ("import os; os.kill(os.getpid(), 9)", "ended its process with signal SIGKILL"),
    "signals": ("import os; os.kill(os.getpid(), 40)", "ended its process with signal 40"),
    "crashes": ("import os; os.abort()", "ended its process with signal SIGABRT"),
    "interrupts": ("raise KeyboardInterrupt", "ended its process with signal SIGINT"),
    "recurses": ("def f(): f()\nf()", "failed: RecursionError: "),
    "misleads": (
        "import os\nfor number in range(3, 1024):\n"
        "    try: os.write(number, b'[]\\n')\n    except OSError: pass\n",
        "wrote to the pipe reserved for the harness",
    ),
}
HARMLESS = {
    "prints": "print(3_000_000 * 'x')\nimport sys; sys.stderr.write(3_000_000 * 'x')",
    "patches": "import json, sys, time\njson.loads = json.dumps = time.monotonic = None\n"
    "sys.modules['torch'] = None\nsys.path.clear()",
    "reads": "import sys; assert sys.stdin.read() == ''",
    "returns": "import os\nif os.fork() == 0: time = 0",
    "closes": "import os; os.close(1); os.close(2)",
}
DAEMON = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, env={}
)
open(PIDS, "a").write(f"{child.pid}\\n")
"""


@pytest.fixture
def site(tmp_path):
    """Return a folder whose distributions are installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    with installed(folder):
        yield folder


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def processes_of(site):
    """Return the processes that were started with the distributions in ``site``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(site) in process.environ().get("PYTHONPATH", "") and not is_gone(process.pid):
                found += [process] * (process.pid != os.getpid())
    return found


def test_plugins_that_end_their_process_cost_one_line_each(ddbench, site):
    for name, (code, _) in FATAL.items():
        install_method(site, name, code)
    install_method(site, "sound")
    done = ddbench("list", "methods", "--json")
    assert done.returncode == 0
    assert {"sound", "generative-turbo"} <= set(json.loads(done.stdout)["methods"])
    lines = done.stderr.splitlines()
    assert len(lines) == len(FATAL)
    for name, (_, reason) in FATAL.items():
        start = f"warning: plugin {name}:{name} skipped because its import {reason}"
        assert [line for line in lines if line.startswith(start)], (name, done.stderr)


def test_what_a_plugin_changes_or_prints_stays_in_its_process(ddbench, site):
    for name, code in HARMLESS.items():
        install_method(site, name, code)
    before = json.loads, json.dumps, time.monotonic, sys.modules.get("torch"), list(sys.path)
    done = ddbench("list", "methods", "--json")
    assert set(HARMLESS) <= set(json.loads(done.stdout)["methods"])
    assert done.stderr == ""
    assert before == (
        json.loads,
        json.dumps,
        time.monotonic,
        sys.modules.get("torch"),
        list(sys.path),
    )
    assert not set(HARMLESS) & set(sys.modules)


def test_plugin_that_hangs_costs_its_time_limit(ddbench, site, monkeypatch):
    monkeypatch.setattr(discovery, "SECONDS", 1.0)
    install_method(site, "hangs", "import time; time.sleep(600)")
    began = time.monotonic()
    done = ddbench("list", "methods")
    assert time.monotonic() - began < 10
    assert "generative-turbo" in done.stdout
    assert done.stderr == (
        "warning: plugin hangs:hangs skipped because its import took longer than 1 s; "
        "import heavy packages inside functions\n"
    )


def test_processes_that_a_plugin_starts_are_gone(ddbench, site, tmp_path):
    pids = tmp_path / "pids"
    install_method(site, "daemons", 2 * DAEMON.replace("PIDS", repr(str(pids))))
    assert "daemons" in ddbench("list", "methods").stdout
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    wait_for(lambda: all(map(is_gone, started)), seconds=10)


def test_a_plugin_is_imported_only_where_it_is_used(ddbench, site, tmp_path):
    """Other commands leave its import to the process that describes it."""
    log = tmp_path / "imports"
    note = f"import os; open({str(log)!r}, 'a').write(f'{{os.getpid()}}\\n')"
    install_method(site, "spy", note)
    install_method(site, "tool")

    def imports(*arguments):
        log.write_text("")
        done = ddbench(*arguments)
        assert done.returncode == 0, done.stderr
        return [int(line) for line in log.read_text().split()]

    # One import, in the process that describes the plugin; the fixtures remember the answer.
    (pid,) = imports("list")
    assert pid != os.getpid()
    for arguments in (["leaderboard"], ["runs"], ["data"], ["list", "options", "tool"]):
        assert imports(*arguments) == [], arguments
    assert imports("list", "options", "spy") == [os.getpid()]


def test_the_process_of_a_method_imports_its_plugin_alone(shell, site, tmp_path):
    log = tmp_path / "imports"
    note = f"import sys; open({str(log)!r}, 'a').write(f'{{sys.argv[0]}}\\n')"
    install_method(site, "spy", note)
    install_method(site, "tool", "def distill(task, budget):\n    raise ValueError('called')")
    run = ("run", "--method", "tool", "--repeats", "0", "--device", "cpu", "--json")
    done = shell(*run, path=[site])
    assert json.loads(done.stdout)["message"].startswith("the method raised ValueError: called")
    (program,) = log.read_text().splitlines()
    assert program.endswith("plugin_reader.py")


def test_plugin_that_breaks_after_it_was_described_is_one_line(ddbench, site, tmp_path):
    code = f"import os\nif os.path.exists({str(tmp_path / 'broken')!r}): raise OSError('late')"
    install_method(site, "moody", code)
    assert "moody" in ddbench("list").stdout
    (tmp_path / "broken").touch()
    done = ddbench("run", "--method", "moody")
    assert done.returncode == 2
    assert done.stderr == (
        "error: method moody can't be used: plugin moody:moody skipped because its import failed: "
        "OSError: late\n"
    )


DATASET = """
import dataclasses
from benchmark_adapters import datasets, hookimpl

@hookimpl
def ddbench_datasets():
    return [dataclasses.replace(datasets.FASHION_MNIST, name="moody")]
"""


def test_dataset_whose_plugin_breaks_hides_no_other(ddbench, site, tmp_path):
    code = f"import os\nif os.path.exists({str(tmp_path / 'broken')!r}): raise OSError('late')"
    install(site, "moody", code + DATASET)
    assert "moody: " in ddbench("data").stdout
    del sys.modules["moody"]
    (tmp_path / "broken").touch()
    done = ddbench("data")
    assert done.returncode == 0
    assert "cifar10: " in done.stdout
    assert done.stderr.count("warning: dataset moody can't be used: plugin moody:moody") == 1


FORMAT = """
from pathlib import Path
from benchmark_adapters import hookimpl
from benchmark_adapters.formats import FORMATS
from benchmark_adapters.types import Format

Path(LOG).touch()
NPZ = next(one for one in FORMATS if one.name == "npz")

def find(path, dataset):
    return [path / "set.theirs"] if (path / "set.theirs").exists() else []

def read(path, dataset):
    return NPZ.read(path / "set.theirs", dataset)

@hookimpl
def ddbench_formats():
    return [Format("theirs", print, read, find)]
"""


def test_formats_of_plugins_are_tried_where_no_other_fits(ddbench, site, tmp_path):
    log = tmp_path / "imported"
    install(site, "theirs", FORMAT.replace("LOG", repr(str(log))))
    assert "theirs" in ddbench("list", "formats").stdout
    log.unlink()
    imagefolder.write({"cifar10": (CIFAR10, random_set(CIFAR10))}, tmp_path / "pictures")
    done = ddbench("check", "pictures", "--dataset", "cifar10", "--json")
    assert json.loads(done.stdout)["format"] == "imagefolder"
    assert not log.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "set.theirs").write_text("no archive")
    done = ddbench("check", "other", "--dataset", "cifar10")
    assert log.exists()
    assert done.stderr.startswith("error: not readable: ")


def test_commands_of_plugins_are_described_without_their_import(ddbench, site):
    command = "import click\nNOTE\n@click.command()\ndef main():\n    '''Greet people.'''\n"
    for name, code in (("greet", "print('imported')"), ("bad", "raise OSError"), ("gone", "1/0")):
        install(site, name, command.replace("NOTE", code), group="ddbench.commands", target=":main")
    done = ddbench("--help")
    assert done.returncode == 0
    assert "greet         Greet people." in done.stdout
    assert "imported" not in done.stdout + done.stderr
    assert "greet" not in sys.modules
    assert "command bad skipped because its import failed: OSError" in done.stderr
    assert done.stderr.count("\n") == 2


@pytest.mark.slow
def test_installed_command_ends_in_time_among_plugins_of_all_kinds(shell, site):
    """The command waits for a slow import, and 20 seconds for one that never ends."""
    fatal = {name: code for name, (code, _) in FATAL.items()}
    slow = {"slow": "import time; time.sleep(3)", "hangs": "import time; time.sleep(600)"}
    for name, code in (fatal | HARMLESS | slow).items():
        install_method(site, name, code)
    began = time.monotonic()
    done = shell("list", "methods", path=[site])
    assert 20 <= time.monotonic() - began < 40
    assert {"slow", *HARMLESS} <= set(done.stdout.split())
    assert done.stderr.count("\n") == len(FATAL) + 1
    assert not processes_of(site)
