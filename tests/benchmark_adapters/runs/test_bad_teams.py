"""Teams with bad names or files never stop the scoring of the others."""

import os
import shutil

from leaderboard.records import store

SCORED = {
    b"a\nb": "a b",
    b"\x1b[2J": "[2J",
    "\u202eevil".encode(): "evil",
    b"n" * 255: f"{'n' * 100}...",
    b"--help": "--help",
    b"good": "good",
}
# What is said of entries that are not scored.
PASSED_OVER = {
    b"\xff": "\\xff is not scored: its name is not UTF-8; rename it",
    b" ": "its name has no visible character; rename it",
    b"...": "its name is that of files which systems leave behind",
    b"x.zip": "it is neither a file nor a folder",
    b"pipe": "it is neither a file nor a folder",
    b"loop": "links are not followed",
}


def score(ddbench, example_folder, path, *words):
    return ddbench(
        *("score", path, "--format", "eccv2024", "--track", "few", "--repeats", "0", *words),
        path=[example_folder],
    )


def test_every_team_is_scored_or_named(
    ddbench, example_folder, submission, tmp_path, untrained_probe
):
    inbox = tmp_path / "inbox"
    for name in (*SCORED, b"\xff", b" ", b"..."):
        shutil.copytree(submission, inbox / os.fsdecode(name))
    for name in ("bad-pipe", "bad-loop", "odd-file"):
        shutil.copytree(submission, inbox / name)
    for name in ("bad-pipe", "bad-loop"):
        (inbox / name / "few.pt").unlink()
    os.mkfifo(inbox / "bad-pipe" / "few.pt")
    (inbox / "bad-loop" / "few.pt").symlink_to("few.pt")
    (inbox / "odd-file" / os.fsdecode(b"\xff\x1b[2J")).write_text("")
    os.mkfifo(inbox / "x.zip")
    os.mkfifo(inbox / "pipe")
    (inbox / "loop").symlink_to("loop")
    done = score(ddbench, example_folder, inbox)
    assert done.returncode == 1
    for said in PASSED_OVER.values():
        assert said in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    entries, problems = store.entries([tmp_path / "runs"])
    statuses = {record.method: record.status for _, record in entries}
    bad = {"bad-pipe": "invalid", "bad-loop": "invalid"}
    assert statuses == dict.fromkeys(SCORED.values(), "ok") | {"odd-file": "ok"} | bad
    assert problems == []


def test_a_team_whose_name_cannot_be_used_counts_as_not_scored(
    ddbench, example_folder, submission, tmp_path, untrained_probe
):
    shutil.copytree(submission, tmp_path / "inbox" / "good")
    assert score(ddbench, example_folder, "inbox").returncode == 0
    shutil.copytree(submission, tmp_path / "inbox" / os.fsdecode(b"\xff"))
    assert score(ddbench, example_folder, "inbox").returncode == 1


def test_paths_that_are_not_utf8_are_refused_with_a_reason(
    ddbench, example_folder, submission, tmp_path
):
    odd = tmp_path / os.fsdecode(b"\xff")
    shutil.copytree(submission, odd)
    for done in (
        score(ddbench, example_folder, odd, "--name", "team"),
        score(ddbench, example_folder, submission, "--name", "team", "--runs", odd / "runs"),
        ddbench(*("check", odd, "--format", "eccv2024", "--dataset", "few"), path=[example_folder]),
    ):
        assert done.returncode == 2, done.stderr
        assert "\\xff" in done.stderr
        assert "the path is not UTF-8; rename it" in done.stderr


def test_a_team_needs_a_visible_name(ddbench, example_folder, submission):
    for name in ("", " ", "\x1b", "\u202e"):
        done = score(ddbench, example_folder, submission, "--name", name)
        assert (done.returncode, "name the team with --name" in done.stderr) == (2, True)
