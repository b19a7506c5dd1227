"""A full disk costs nothing that was made before."""

import json
import subprocess

import pytest
from project import COMMAND
from small_disk import run_on_small_disk
from small_runs import only

# Each run has 4 KiB more room than the one before, so that each write is the first to fail once.
EVERY_WRITE = """
import json, sys, warnings
from pathlib import Path
import in_process
from small_runs import run
from benchmark_adapters.execution import discovery, sandbox, supervisor
from benchmark_adapters.runs import derived, read, resume, unfinished
from benchmark_adapters.types import UserError
from leaderboard.records import store

supervisor.supervise = in_process.supervise
sandbox.run = in_process.run
disk, outcomes = Path(sys.argv[1]), []
installed = discovery.installed()
run(installed, disk.parent, "random-real", repeats=0)
for room in range(0, 100, 4):
    runs, filler = disk / f"runs-{room}", disk / "filler"
    runs.mkdir()
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"0" * 4096): pass
        except OSError: pass
        file.truncate(file.tell() // 4096 * 4096 - room * 1024)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run(installed, disk, "random-real", repeats=0, runs=runs)
            error = ""
        except UserError as problem:
            error = str(problem)
    filler.unlink()
    entries, problems = store.entries([runs])
    images = [read.damage(*entry) == "" for entry in entries if entry[1].images_sha256]
    before = [sorted(file.name for file in folder.iterdir()) for folder, _ in entries]
    for entry in entries:
        derived.restore(*entry)
    outcomes.append({
        "error": error,
        "notices": [str(one.message) for one in caught],
        "problems": problems,
        "images": images,
        "before": before,
        "after": [sorted(file.name for file in folder.iterdir()) for folder, _ in entries],
        "messages": [record.message for _, record in entries],
        "resumed": [resume.resume(one, installed).name for one in unfinished.entries(runs)],
        "statuses": [record.status for _, record in store.entries([runs])[0]],
        "left": [str(one.path) for one in store.leftovers([runs])],
    })
print(json.dumps(outcomes))
"""
# Each command writes to a full disk, where an older table and older pages are.
EVERY_OUTPUT = """
import contextlib, io, json, os, sys
from pathlib import Path
from benchmark_adapters import cli

def call(*words):
    errors = io.StringIO()
    sys.argv = ["ddbench", *map(str, words)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try: cli.main()
        except SystemExit as end: return end.code, errors.getvalue()

runs, run, *formats = sys.argv[1:]
board = ["leaderboard", "--runs", runs]
before = [
    call(*board, "--output", "disk/table.md")[0],
    call(*board, "--format", "html", "--output", "disk/board")[0],
]
state = lambda: sorted((str(p), p.stat().st_size) for p in Path("disk").rglob("*") if p.is_file())
with open("disk/filler", "wb", buffering=0) as file:
    with contextlib.suppress(OSError):
        while file.write(b"0" * 4096): pass
old = state()
done = [call("export", run, "--format", name, "--output", f"disk/{name}") for name in formats]
done.append(call(*board, "--output", "disk/table.md"))
done.append(call(*board, "--format", "html", "--output", "disk/board"))
done.append(call("compare", run, run, "--output", "disk/compared"))
print(json.dumps([before, done, state() == old, sorted(os.listdir("disk"))]))
"""
WHOLE = ["grid.png", "images.safetensors", "log.txt", "manifest.json", "record.json"]


def test_whichever_write_a_full_disk_stops_what_was_made_before_is_kept(example_folder, tmp_path):
    disk = tmp_path / "disk"
    printed = run_on_small_disk("4m", disk, EVERY_WRITE, disk, path=[example_folder])
    outcomes = json.loads(printed.splitlines()[-1])
    seen = set()
    for one in outcomes:
        assert one["problems"] == []
        assert all(one["images"])
        if one["error"]:
            assert "No space left on device" in one["error"]
            assert ("`ddbench resume " in one["error"]) == bool(one["resumed"])
            assert ("`ddbench score " in one["error"]) == bool(one["images"])
            seen.add("no record" if one["resumed"] else "nothing yet")
        elif one["images"]:
            assert one["after"] == [WHOLE]
            seen.add("whole" if one["before"] == [WHOLE] else "made again")
        else:
            assert "could not be saved (" in one["messages"][0]
            seen.add("batches kept" if one["resumed"] else "nothing sampled")
        if one["resumed"]:
            assert "ok" in one["statuses"]
        assert one["left"] == [] or one["images"]
    assert seen >= {"batches kept", "made again", "whole"}
    notices = [text for one in outcomes for text in one["notices"]]
    assert any("grid.png could not be written" in text for text in notices)


@pytest.mark.slow
def test_commands_say_that_a_disk_is_full_and_leave_nothing_half_written(
    example_folder, real_runs, tmp_path
):
    formats = ["eccv2024", "native", "imagefolder", "npz", "idc", "dcbench", "mtt"]
    run = only(real_runs, "few")
    printed = run_on_small_disk(
        "2m", tmp_path / "disk", EVERY_OUTPUT, real_runs, run, *formats, path=[example_folder]
    )
    before, done, is_unchanged, names = json.loads(printed.splitlines()[-1])
    assert before == [0, 0]
    for code, errors in done:
        assert code == 2, errors
        assert "No space left on device" in errors
        assert len(errors.splitlines()) == 1
    assert is_unchanged
    assert names == ["board", "filler", "table.md"]


def test_output_to_a_full_disk_is_one_line_of_error():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [COMMAND, "list", "tracks"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output: No space left on device")
    assert len(done.stderr.splitlines()) == 1
