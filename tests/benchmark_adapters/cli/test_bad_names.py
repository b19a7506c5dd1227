"""One bad name, file or folder never stops the others, and no output writes on a terminal."""

import dataclasses
import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from made_records import record
from picture_folders import write
from small_runs import only

from leaderboard.records import store

# Bytes that are no UTF-8, a new line, a terminal's escape sequence, text from right to left, a long
# name, an option and white space.
NAMES = [
    b"\xff\xfe",
    b"a\nb",
    b"\x1b[2J\x1b[31m",
    "\u202eevil".encode(),
    b"n" * 255,
    b"--yes",
    b" ",
]
HOSTILE = "\x1b[2J\nred\x07\x00\u202e\u0085\u2028"


def is_clean(text):
    """Return whether a text holds no character that a terminal or a page would obey."""
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl") for c in text)


@pytest.fixture
def runs(real_runs, tmp_path):
    """Return a runs folder with good runs below bad names, one good run, and broken ones."""
    source, root = only(real_runs, "few"), tmp_path / "runs"
    for name in NAMES:
        odd = Path(os.fsdecode(name))
        shutil.copytree(source, root / odd / "few" / odd / odd)
    shutil.copytree(source, root / source.relative_to(real_runs))
    place = root / "few" / "few" / "random-real"
    (place / "no-record").mkdir()
    (place / "20260101T000000Z-aaaaaa").write_text("a file where a folder belongs")
    (place / "loop").symlink_to("loop")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    for name, make in {
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "link": lambda path: path.symlink_to("record.json"),
        "text": lambda path: path.write_text("\x1b[2J"),
    }.items():
        (place / f"bad-{name}").mkdir()
        make(place / f"bad-{name}" / "record.json")
    return root


BROKEN = [
    "few/few/random-real/no-record",
    "few/few/random-real/20260101T000000Z-aaaaaa",
    "few/few/random-real/loop",
    "runs/loop",
    *(f"few/few/random-real/bad-{name}" for name in ("pipe", "folder", "link", "text")),
]


def test_every_listing_names_what_is_broken_and_shows_the_rest(ddbench, runs, tmp_path):
    commands = [("runs",), ("runs", "--json")]
    for style in ("github", "plain", "csv", "latex", "json"):
        commands.append(("leaderboard", "--format", style))
    commands.append(("leaderboard", "--format", "html", "--output", "board"))
    for words in commands:
        done = ddbench(*words)
        assert done.returncode == 1, done.stderr
        for broken in BROKEN:
            (line,) = [line for line in done.stderr.splitlines() if f"{broken}" in line]
            assert line.startswith("warning: skipped ")
        assert is_clean(done.stdout)
        assert is_clean(done.stderr)
    assert len(json.loads(ddbench("runs", "--json").stdout)) == len(NAMES) + 1


def test_runs_with_bad_names_can_be_shown_compared_exported_and_removed(
    ddbench, example_folder, runs
):
    folders = list(store.runs_in([runs]))
    assert len(folders) == len(NAMES) + 5
    good = [folder for folder in folders if not folder.name.startswith("bad-")]
    for number, folder in enumerate(good):
        for words in (
            ("show", "--", folder),
            ("compare", "--output", f"compared-{number}", "--", folder, good[0]),
            ("export", "--format", "mtt", "--output", f"out-{number}", "--", folder),
            ("rm", "--yes", "--", folder) if number else ("runs",),
        ):
            done = ddbench(*words, path=[example_folder])
            assert done.returncode == (1 if words == ("runs",) else 0), done.stderr
            assert is_clean(done.stdout + done.stderr)
    assert not any(folder.exists() for folder in good[1:])


def test_no_control_character_of_a_record_reaches_a_terminal_or_a_page(ddbench, tmp_path):
    made = record(method=HOSTILE + "m", track="t", dataset=HOSTILE + "d", message=HOSTILE)
    made = dataclasses.replace(
        made,
        model=HOSTILE,
        model_licence=HOSTILE,
        model_trained_on=HOSTILE,
        explicit_options=[HOSTILE],
        options={HOSTILE: HOSTILE},
        hardware={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        metadata={"images": HOSTILE, "warnings": [HOSTILE]},
        confusion=[[3, 0], [0, 3]],
    )
    hostile = tmp_path / "hostile"
    with store.new_run(hostile, "t", "d", "m") as scratch:
        store.write(scratch, dataclasses.replace(made, run_id=store.run_id(scratch)))
        names = json.dumps({"class_names": [HOSTILE, "b"], "dataset": made.dataset})
        (scratch / "manifest.json").write_text(names)
    run = store.final(scratch)
    for words in (
        ("show", run),
        ("compare", run, run, "--output", "compared"),
        ("runs", "--runs", hostile),
        *(("leaderboard", "--runs", hostile, "--format", s) for s in ("github", "csv", "latex")),
        ("leaderboard", "--runs", hostile, "--format", "html", "--output", "board"),
        ("leaderboard", "--runs", hostile, "--format", "json"),
    ):
        done = ddbench(*words)
        assert is_clean(done.stdout), words
        assert is_clean(done.stderr), words
    pages = [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.svg")]
    assert len(pages) > 2
    for page in pages:
        assert is_clean(page.read_text()), page


def test_class_names_and_files_of_any_name_are_taken(
    ddbench, example_folder, tmp_path, methods_here
):
    odd = [b"a\nb", b"\x1b[2J", "\u202ed".encode()]
    write(tmp_path / "own")
    for split in ("train", "test"):
        for folder, name in zip(sorted((tmp_path / "own" / split).iterdir()), odd, strict=True):
            folder.rename(folder.with_name(os.fsdecode(name)))
        (tmp_path / "own" / split / os.fsdecode(b"junk.\xff\x1b[2J")).write_text("")
    done = ddbench(
        *("run", "--method", "random-real", "--dataset", "own/", "--track", "few"),
        *("--ipc", "2", "--repeats", "0"),
        path=[example_folder],
    )
    assert done.returncode == 0, done.stderr
    assert is_clean(done.stdout + done.stderr)
    (run,) = store.runs_in([tmp_path / "runs"])
    shown = ddbench("show", run)
    assert (shown.returncode, is_clean(shown.stdout + shown.stderr)) == (0, True)
    assert (run / "grid.png").is_file()
