"""Commands, and their processes, killed at random moments: nothing that was finished is lost.

The moment of a kill is a random part of a phase of a command, whose length is measured before.
"""

import contextlib
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass

import psutil
import pytest
from disk_survey import Disk
from watched import Watched, kind_of, seconds_until_gone

from benchmark_adapters.runs import resume, unfinished
from benchmark_adapters.types import UserError
from leaderboard.records import store

pytestmark = pytest.mark.faults

# Each round has a new disk, because a board of many runs takes long.
KILLS, ROUNDS = 200, 5
# How many kills of a hundred are meant for each phase.
WEIGHTS = {"start-up": 8, "sampling": 16, "scoring": 58, "publishing": 10, "board": 8}
# Share of the kills that hit the command itself. The others hit a process below it.
OF_COMMAND = 0.45
SEEDS, REPEATS = 3, 4
# As many runs are left to be resumed at most.
MOST_RESUMABLE = 3
# Seconds in which a command must end after a kill, and then all its processes.
MAX_END, MAX_LEFT = 60, 10

TRACK = f"""
name = "long"
datasets = ["few"]
time_limit = 60
ipc = [10]
default_ipc = 10
recipe = "quickstart/1"
student = "mlp"
repeats = {REPEATS}
"""
METHOD = '''
import time
import numpy as np

def distill(task, budget):
    """Yield real images in an order that the seed decides, one of each class at a time."""
    images, labels = task.training_images()
    order = np.random.default_rng(task.seed).permutation(len(labels))
    rows = [order[labels[order] == label] for label in range(10)]
    task.ready()
    for number in range(task.ipc):
        time.sleep(0.1)
        chosen = [row[number] for row in rows]
        yield images[chosen], labels[chosen]
'''
OF_TRACK = ("--track", "long.toml", "--device", "cpu")
BOARD = ("leaderboard", "--format", "html", "--output", "board")


@dataclass(frozen=True)
class Kill:
    """What was killed, in which phase, and what came of it.

    Attributes:
        seeds: number of seeds whose results are there after it.
        seconds: until no process of the command was left.
    """

    phase: str
    kind: str
    seeds: int
    seconds: float


def run_of(seed):
    return ("run", "--method", "slowly.py", "--seed", seed, *OF_TRACK)


def seeds_in(work):
    """Return the results of seeds that a run is resumed from: inode and content by name."""
    found = {}
    for path in (work / unfinished.SEEDS).glob("[!.]*.json") if work else ():
        # At the end of the run, they are deleted.
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_ino, path.read_bytes()
    return found


class Disturber:
    """Commands on one disk after another, and what is known of all of them.

    Attributes:
        scores: accuracies and confusion by the hash of the images.
        lengths: seconds of each phase of each command.
    """

    def __init__(self, example_folder, chance):
        self.path, self.chance = str(example_folder), chance
        self.scores, self.lengths = {}, {}

    def enter(self, folder):
        """Go on with an empty disk."""
        (folder / "tmp").mkdir(parents=True)
        (folder / "slowly.py").write_text(METHOD)
        (folder / "long.toml").write_text(TRACK)
        expected = ("slowly.py", "long.toml", "tmp", "output.txt", "log.txt", "__pycache__")
        self.disk = Disk(folder, expected)

    def start(self, arguments):
        variables = {"PYTHONPATH": self.path, "TMPDIR": str(self.disk.folder / "tmp")}
        return Watched(self.disk.folder, arguments, REPEATS, **variables)

    def undisturbed(self, *arguments):
        """Run a command to its end, return its output, and measure how long its phases take."""
        command, phases = self.start(arguments), Counter()
        for phase, looks in itertools.groupby(command.phases()):
            began = time.monotonic()
            for _ in looks:
                pass
            phases[phase] += time.monotonic() - began
        assert command.process.wait() == 0, command.errors
        self.lengths.setdefault(arguments[0], phases)
        return command.output

    def resumable(self):
        with contextlib.suppress(UserError):
            return resume.find(None, self.disk.runs)
        return []

    def done(self):
        return [record for _, record in self.disk.records() if record.status == "ok"]

    def choose(self, phase):
        """Return the arguments of a command that gets to a phase."""
        if phase == "board":
            return BOARD
        left, done = self.resumable(), self.done()
        ways = ["run", "run"]
        if left and (phase != "sampling" or left[0].stage == phase):
            ways = ["resume"] if len(left) >= MOST_RESUMABLE else [*ways, "resume", "resume"]
        if done and phase != "sampling":
            ways.append("score")
        way = self.chance.choice(ways)
        if way == "score":
            return ("score", self.chance.choice(done).run_id, *OF_TRACK)
        return ("resume",) if way == "resume" else run_of(self.chance.randrange(SEEDS))

    def disturb(self, phase):
        """Kill a process of a command in a phase; None: the command ended before."""
        arguments = self.choose(phase)
        kept = seeds_in(self.resumable()[0].work) if arguments[0] == "resume" else {}
        length = self.lengths["run" if arguments[0] == "resume" else arguments[0]][phase]
        command = self.start(arguments)
        moment, hit = None, ()
        for now in command.phases():
            there = seeds_in(command.work)
            # A result that is there is used, so it is not written again, nor is another one.
            assert all(there.get(name, one) == one for name, one in kept.items())
            assert len(there) <= REPEATS
            if moment is None and now == phase:
                moment = time.monotonic() + self.chance.uniform(0, length)
            if moment is not None and not hit and time.monotonic() >= moment:
                hit = (now, self.kill(command))
                moment, kept = time.monotonic(), kept | there
            assert not hit or time.monotonic() < moment + MAX_END, command.errors
        seconds_until_gone(command.tag, MAX_LEFT)
        gone = time.monotonic()
        self.require_clear_end(command, hit)
        after = seeds_in(command.work)
        assert not after or kept.items() <= after.items()
        self.check_scores()
        return Kill(*hit, len(after), gone - moment) if hit else None

    def kill(self, command):
        """Kill the command or a random process below it; return what that was."""
        below = []
        if self.chance.random() > OF_COMMAND:
            with contextlib.suppress(psutil.Error):
                below = command.process.children(recursive=True)
        self.chance.shuffle(below)
        for victim in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if kind := kind_of(victim):
                    victim.kill()
                    return kind
        command.process.kill()
        return "the command"

    def require_clear_end(self, command, hit):
        code = command.process.wait()
        if not hit:
            assert code == 0, command.errors
        elif hit[1] != "the command":
            assert code in (0, 1, 2), command.errors
            assert "Traceback" not in command.errors

    def check_scores(self):
        """Assert that the disk is whole, and that the same images always have the same scores."""
        for _, record in self.disk.survey():
            if record.status == "ok":
                assert record.n == REPEATS
                scores = record.accuracies, record.confusion
                assert self.scores.setdefault(record.images_sha256, scores) == scores

    def conclude(self):
        """Resume what is left, score what has been resumed again, and clear up."""
        while self.resumable():
            self.undisturbed("resume")
            self.check_scores()
        resumed = [record for record in self.done() if len(record.sessions) > 1]
        for record in resumed[-2:]:
            self.undisturbed("score", record.run_id, *OF_TRACK)
        self.check_scores()
        listed = json.loads(self.undisturbed("runs", "--json"))
        assert len(listed) == len(self.disk.records())
        self.undisturbed("rm", "--unfinished", "--yes")
        assert store.leftovers([self.disk.runs]) == []
        self.check_scores()


def test_nothing_that_was_finished_is_lost(example_folder, tmp_path, measured):
    chance, kills = random.Random(1), []
    disturber = Disturber(example_folder, chance)
    for number in range(ROUNDS):
        disturber.enter(tmp_path / f"disk-{number}")
        for seed in range(SEEDS if not number else 1):
            disturber.undisturbed(*run_of(seed))
        disturber.undisturbed("score", disturber.done()[0].run_id, *OF_TRACK)
        disturber.undisturbed(*BOARD)
        while len(kills) < KILLS * (number + 1) // ROUNDS:
            (phase,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
            if kill := disturber.disturb(phase):
                kills.append(kill)
                print(len(kills), kill, flush=True)
        disturber.conclude()
    assert sum(kill.phase == "scoring" for kill in kills) >= KILLS / 2
    for phase, kind in sorted({(kill.phase, kill.kind) for kill in kills}):
        of_both = [kill for kill in kills if (kill.phase, kill.kind) == (phase, kind)]
        measured(
            phase=phase,
            killed=kind,
            kills=len(of_both),
            # Each survey asserts it.
            **{
                "finished runs lost": 0,
                "finished seeds kept": sum(kill.seeds for kill in of_both),
                "seconds until no process was left": round(max(k.seconds for k in of_both), 1),
            },
        )
