"""What commands say while they work, with and without a terminal."""

import json
import subprocess
import sys

import pytest

from benchmark_adapters import reporting
from benchmark_adapters.execution.progress import sampling

RUN = ("run", "--track", "few", "--device", "cpu", "--method")


def test_progress_without_a_terminal_is_a_line_now_and_then(tmp_path):
    """The file has no control characters, and lines that say how long it will take."""
    script = (
        "import time\n"
        "from benchmark_adapters import line_bar, reporting\n"
        "line_bar.INTERVAL = 0.2\n"
        "for _ in reporting.bar(range(20), desc='reading', total=20, unit=' files'):\n"
        "    time.sleep(0.05)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert 2 <= len(lines) <= 6
    assert all(line.startswith("reading: ") and line.endswith(" left") for line in lines)
    assert "of 20 files after 00:0" in lines[-1]
    assert done.stderr.replace("\n", "").isprintable()


def test_lines_of_phases_with_and_without_an_end(capsys, monkeypatch):
    monkeypatch.setattr("benchmark_adapters.line_bar.INTERVAL", 0)
    with sampling("good on few", 2, 60) as progress:
        progress.show_phase("making", 1, 4)
        for done in range(3):
            progress.show_phase("refining", done, None)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "making: 4 steps",
        "making: 1 of 4 steps after 00:00, 00:00 left",
        "refining",
        "refining: 1 steps after 00:00",
        "refining: 2 steps after 00:00",
    ]


def test_quiet_commands_say_nothing_but_results(ddbench, example_folder):
    done = ddbench(*RUN, "good", "-q", path=[example_folder])
    assert (done.returncode, done.stderr) == (0, "")
    assert "good" in done.stdout
    failed = ddbench(*RUN, "raises", "--quiet", path=[example_folder])
    assert failed.stderr.startswith("error: status error: the method raised RuntimeError")
    # The next command is not quiet.
    assert "sampling 2 images" in ddbench(*RUN, "good", path=[example_folder]).stderr


def test_verbose_commands_say_more(ddbench, example_folder):
    done = ddbench(*RUN, "good", "-v", "--json", path=[example_folder])
    first, second = (100 * value for value in json.loads(done.stdout)["accuracies"])
    assert f"convnet3, seed 0: {first:.2f} %, " in done.stderr
    assert f"convnet3, seed 1: {second:.2f} %, " in done.stderr
    assert "options: " in done.stderr


def test_the_output_of_a_method_can_be_followed(ddbench, example_folder, tmp_path):
    method = tmp_path / "talks.py"
    method.write_text(
        "import numpy as np\n"
        "def distill(task, budget):\n"
        "    print('hello from the method')\n"
        "    yield np.zeros((10, 1, 28, 28), np.uint8), np.arange(10)\n"
    )
    command = (*RUN, method, "--ipc", "1", "--repeats", "0")
    assert "hello" not in ddbench(*command, path=[example_folder]).stderr
    assert "hello from the method\n" in ddbench(*command, "--follow", path=[example_folder]).stderr


def test_a_failure_is_located_and_its_log_is_named(ddbench, example_folder, tmp_path):
    """The innermost line of the method counts, not that of the library which it calls."""
    method = tmp_path / "fails.py"
    method.write_text(
        "import json\n"
        "def distill(task, budget):\n"
        "    yield from load()\n"
        "def load():\n"
        "    return json.loads('{')\n"
    )
    done = ddbench(*RUN, method, path=[example_folder])
    assert done.returncode == 1
    assert "the method raised JSONDecodeError: " in done.stderr
    assert "(fails.py, line 5)" in done.stderr
    (log,) = (tmp_path / "runs").glob("*/*/*/*/log.txt")
    assert f"log of the method: {log.relative_to(tmp_path)}" in done.stderr
    assert "Traceback" in log.read_text()
    assert str(tmp_path) not in (log.parent / "record.json").read_text()


@pytest.mark.parametrize("level", ["quiet", "verbose"])
def test_the_level_decides(level, capsys, monkeypatch):
    monkeypatch.setenv(reporting.LEVEL_ENV, level)
    reporting.say("a line")
    reporting.detail("a detail")
    assert capsys.readouterr().err == ("a line\na detail\n" if level == "verbose" else "")


def test_an_interrupted_command_says_how_to_go_on(
    ddbench, example_folder, real_runs, monkeypatch, tmp_path
):
    def interrupt(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark_adapters.scoring.training.train", interrupt)
    done = ddbench(*RUN, "good", path=[example_folder])
    (folder,) = (tmp_path / "runs").glob("*/*/*/*")
    assert done.returncode == 1
    assert f"go on with: ddbench resume {folder.name}\n" in done.stderr


def test_the_time_of_a_late_run_is_the_time_it_used(ddbench, example_folder, clock):
    clock.jump_after(batches=3)
    late = ddbench(*RUN, "slow", "--ipc", "5", "--repeats", "0", "--json", path=[example_folder])
    seconds = json.loads(late.stdout)["seconds"]
    assert (seconds["used"], seconds["limit"]) == (30, 30)
    assert seconds["generate"] < 30
    punctual = ddbench(*RUN, "good", "--repeats", "0", "--json", path=[example_folder])
    assert json.loads(punctual.stdout)["seconds"]["used"] is None
    table = ddbench("leaderboard", "--track", "few", "--columns", "method,time,status")
    rows = [row.split("|") for row in table.stdout.splitlines()]
    assert [row[2].strip() for row in rows if len(row) > 2 and "slow" in row[1]] == ["30.0"]


def test_show_has_the_date_and_the_command(ddbench, example_folder, real_runs):
    (run,) = real_runs.glob("few/*/*/*")
    shown = ddbench("show", run, path=[example_folder]).stdout
    lines = {line.split("  ")[0]: line for line in shown.splitlines()}
    record = json.loads((run / "record.json").read_text())
    assert record["created"] in lines["date"]
    assert "ddbench run --method random-real --track few" in lines["command"]
    assert f"ddbench rerun {record['run_id']}" in lines["repeat with"]
