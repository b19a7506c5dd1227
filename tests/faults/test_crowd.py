"""Many commands at once on one folder of runs and one board: none of them hinders another."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import run_installed
from disk_survey import Disk, require_whole_board

from leaderboard.records import store

pytestmark = pytest.mark.faults

ROUNDS, RUNS, BOARDS = 5, 4, 2
BOARD = ("leaderboard", "--format", "html", "--output", "board")


class Crowd:
    """Commands that run at the same time, and the seconds that each kind of them took."""

    def __init__(self, folder, path):
        self.folder, self.path = folder, path
        self.seconds: dict[str, list[float]] = {}

    def command(self, *arguments):
        """Run a command to its end, and require that it succeeds."""
        began = time.monotonic()
        done = run_installed(arguments, self.folder, [self.path], {})
        self.seconds.setdefault(arguments[0], []).append(time.monotonic() - began)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"

    def repeat(self, is_over: threading.Event, *arguments):
        """Run a command again and again, and once more when all is over."""
        while not is_over.is_set():
            self.command(*arguments)
        self.command(*arguments)


def look(board):
    """Require a whole board. Another one may take its place meanwhile."""
    while True:
        identity = board.stat().st_ino
        try:
            return require_whole_board(board)
        except (AssertionError, FileNotFoundError):
            if board.stat().st_ino == identity:
                raise


def test_commands_at_once_do_not_hinder_each_other(example_folder, tmp_path, measured):
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk")
    crowd = Crowd(disk.folder, example_folder)
    run = ("run", "--method", "random-real", "--track", "few", "--device", "cpu")
    crowd.command(*run, "--seed", "1000")
    crowd.command(*BOARD)
    shown, looks = disk.records()[0][1].run_id, 0
    for number in range(ROUNDS):
        doomed = [record.run_id for _, record in disk.records() if record.run_id != shown][:1]
        is_over = threading.Event()
        with ThreadPoolExecutor(max_workers=RUNS + BOARDS + 3) as pool:
            seeds = range(10 * number * RUNS, 10 * (number + 1) * RUNS, 10)
            runs = [pool.submit(crowd.command, *run, "--seed", seed) for seed in seeds]
            others = [pool.submit(crowd.repeat, is_over, *BOARD) for _ in range(BOARDS)]
            others += [pool.submit(crowd.repeat, is_over, "show", shown)]
            others += [pool.submit(crowd.repeat, is_over, "runs")]
            others += [pool.submit(crowd.command, "rm", run_id, "--yes") for run_id in doomed]
            try:
                while not all(one.done() for one in runs):
                    look(disk.board)
                    looks += 1
                    time.sleep(0.05)
            finally:
                is_over.set()
        for one in [*runs, *others]:
            one.result()
        # A run that is removed must not count as lost.
        disk.seen = {}
        records = [record for _, record in disk.survey()]
        assert len(records) == 1 + RUNS * (number + 1) - number
        assert {record.status for record in records} == {"ok"}
        assert len({record.images_sha256 for record in records}) == len(records)
        pages = {path.name for path in (disk.board / "runs").glob("*.html")}
        assert len(pages) == len(records)
    assert store.leftovers([disk.runs]) == []
    for what, seconds in sorted(crowd.seconds.items()):
        measured(
            what=f"ddbench {what}",
            number=len(seconds),
            failed=0,
            **{"seconds at most": round(max(seconds), 1)},
        )
    measured(what="looks at the board", number=looks, failed=0, **{"seconds at most": ""})
