"""Decide which task comes next, until every run of a sweep has its record.

Only this process writes results of seeds into the runs folder, and it remembers them. So it can put
back what a guard deletes on another machine, where a method ran meanwhile
(`benchmark_adapters.runs.seed_guard`), and what a method changes is never used.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark_adapters.files import listed
from benchmark_adapters.runs import unfinished
from benchmark_adapters.runs.request import RunPlan
from benchmark_adapters.runs.unfinished import Unfinished
from benchmark_adapters.scoring.seed_cache import SeedCache, SeedResult
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines.engine import Engine, Lost, Task
from benchmark_adapters.sweeps.finished import Finished
from benchmark_adapters.sweeps.jobs import Job, Seed, kept_results
from benchmark_adapters.sweeps.table import State, Table
from benchmark_adapters.sweeps.tasks import Answer, Ref
from benchmark_adapters.types import UserError
from leaderboard.records import store

# How often a task is given to another worker if its own is lost.
MAX_TRIES = 3
# The first steps of runs.
FIRST = ("making", "joining", "reading")
# Seconds between two looks at the table, and to wait for what an earlier command left running.
INTERVAL, PATIENCE = 2.0, 60.0


@dataclass(frozen=True)
class _Sent:
    """A task that was submitted. ``seed`` is what it trains, if it does."""

    job: Job
    task: Task
    step: str
    seed: Seed | None = None
    tries: int = 1


class Coordinator:
    """The tasks of a sweep, and the runs that they are for."""

    def __init__(self, jobs: Sequence[Job], runs: Path, engine: Engine, table: Table) -> None:
        # Workers may be in another folder.
        self.jobs, self.runs, self.engine, self.table = jobs, runs.absolute(), engine, table
        self.shards = [shard for job in jobs for shard in job.shards]
        self.sent: dict[int, _Sent] = {}
        self.claimed: set[str] = set()
        self.began, self.done_seconds = time.monotonic(), 0.0

    def run(self) -> None:
        """Make all runs. What an earlier command left unfinished goes on.

        Raises:
            UserError: somebody else makes one of the runs.
        """
        every = [*self.shards, *self.jobs]
        if busy := self._wait_for_others(every):
            raise UserError(f"run {busy[0]} is being made by another process; wait, or stop it")
        kept = unfinished.entries(self.runs)
        for job in every:
            if not job.is_over and all(shard.is_over for shard in job.shards):
                self._begin(job, self._left(job, kept))
        while self.sent:
            self.table.show(self._state())
            for number, answer in self.engine.wait(INTERVAL):
                self._take(self.sent.pop(number), answer)

    def _wait_for_others(self, jobs: Sequence[Job]) -> list[str]:
        """Wait until workers that are being killed have left these runs; return those they make."""
        rules, deadline = {job.rules for job in jobs}, time.monotonic() + PATIENCE
        busy = []
        for work in listed(self.runs / unfinished.FOLDER):
            one = unfinished.read(work)
            while one and one.plan.rules in rules and unfinished.is_running(one):
                if time.monotonic() > deadline:
                    busy.append(one.run_id)
                    break
                time.sleep(0.2)
                one = unfinished.read(work)
        return busy

    def _left(
        self, job: Job, kept: Sequence[Unfinished], images: str | None = None
    ) -> Unfinished | None:
        """Return the newest unfinished run of a job that can go on here; None: there is none."""
        here = self.engine.environment
        for one in kept[::-1]:
            is_free = one.run_id not in self.claimed and one.plan.environment == here
            if is_free and job.is_left(one, images):
                return one
        return None

    def _begin(self, job: Job, left: Unfinished | None) -> None:
        """Submit what comes first for a job: its set, or its students if the set was made."""
        if left:
            self.claimed.add(left.run_id)
        if left and left.draft:
            self._adopt(job, Ref.of(left.work), kept_results(left.work))
            return
        if job.shards:
            job.item = replace(job.item, shards=job.made_shards)
            if not job.item.shards:
                self._fail(job, "none of its shards was made")
                return
        resumes = Ref.of(left.work) if left else None
        task = Task(tasks.begin, (job.item, resumes), job.is_method, job.threads)
        step = "joining" if job.shards else "making" if job.is_method else "reading"
        self._submit(_Sent(job, task, step))

    def _adopt(self, job: Job, ref: Ref, results: Mapping[Seed, SeedResult]) -> None:
        """Submit the students of a run whose set is made; ``results`` are those it has already."""
        one = unfinished.read(ref.work)
        assert one
        assert one.draft
        plan = job.scoring.for_ipc(one.draft.ipc)
        wanted = [(student.name, seed) for student in plan.students for seed in plan.seeds]
        job.ref, job.place = ref, one.run
        job.results = {seed: results[seed] for seed in wanted if seed in results}
        job.open = {seed for seed in wanted if seed not in results}
        for seed in wanted:
            if seed in job.open:
                task = Task(tasks.train, (ref, *seed), threads=job.threads)
                self._submit(_Sent(job, task, "training", seed))
        self._finish_if_trained(job)

    def _finish_if_trained(self, job: Job) -> None:
        if not job.open and job.ref:
            arguments = job.ref, job.place, list(job.results.values())
            job.ref = None
            task = Task(tasks.finish, arguments, threads=job.threads)
            self._submit(_Sent(job, task, "finishing"))

    def _submit(self, sent: _Sent) -> None:
        self.sent[self.engine.submit(sent.task)] = sent

    def _take(self, sent: _Sent, answer: Answer | Lost) -> None:
        """Take the answer of a task, and submit what follows from it."""
        if isinstance(answer, Lost):
            self._try_again(sent, answer)
            return
        job = sent.job
        self.done_seconds += _seconds(sent)
        if sent.step in FIRST:
            is_healed = self._heal()
            # What a guard deleted of this sweep's own results is back.
            notices = [text for text in answer.notices if not (is_healed and "of seeds" in text)]
        else:
            notices = list(answer.notices)
        for text in notices:
            self.table.say(f"warning: {job.title}: {text}")
        if sent.seed:
            self._keep(sent.job, sent.seed, answer)
        elif answer.failure is not None:
            self._fail(job, answer.failure)
        elif isinstance(answer.value, Ref):
            self._go_on(job, answer.value)
        else:
            job.place, job.record = answer.value, store.read(answer.value)
        self.table.finished(job.title, sent.step, sent.seed, self._state())
        if job.record and not job.is_ok:
            self.table.say(f"failed: {job.title}: {job.record.status}: {job.record.message}")
        self._join_if_made(job)

    def _join_if_made(self, shard: Job) -> None:
        """Join the shards of a set if this was the last one."""
        for job in self.jobs:
            if shard in job.shards and all(one.is_over for one in job.shards):
                self._begin(job, self._left(job, unfinished.entries(self.runs)))

    def _try_again(self, sent: _Sent, lost: Lost) -> None:
        """Submit a lost task again. Nothing that is finished is done again."""
        job = sent.job
        if sent.tries > MAX_TRIES:
            problem = f"{lost.reason}, {sent.tries} times while {sent.step}"
            if sent.seed:
                self._keep(job, sent.seed, Answer(failure=problem))
            else:
                self._fail(job, problem)
                self._join_if_made(job)
            return
        self.table.say(f"again: {job.title}, {sent.step}: {lost.reason}")
        task = sent.task
        if sent.step in ("making", "joining"):
            _, resumed = task.arguments
            self.claimed.discard(resumed.run_id if resumed else "")
            self._wait_for_others([job])
            if job in self.shards and self._is_made(job):
                return
            left = self._left(job, unfinished.entries(self.runs))
            if left and left.draft:
                self._begin(job, left)
                return
            self.claimed.add(left.run_id if left else "")
            task = replace(task, arguments=(job.item, left and Ref.of(left.work)))
        self._submit(_Sent(job, task, sent.step, sent.seed, sent.tries + 1))

    def _is_made(self, shard: Job) -> bool:
        """Take over the record of a shard whose worker died after it had written it."""
        assert isinstance(shard.plan, RunPlan)
        found = store.entries([self.runs])[0]
        shard.record = Finished(record for _, record in found).run(shard.plan)
        if shard.record is None:
            return False
        (shard.place,) = [folder for folder, record in found if record is shard.record]
        self._join_if_made(shard)
        return True

    def _go_on(self, job: Job, ref: Ref) -> None:
        """Go on with a set that was made or read, unless it was scored or read before."""
        self.claimed.add(ref.run_id)
        if job.item.submission is None:
            self._adopt(job, ref, {})
            return
        one = unfinished.read(ref.work)
        assert one
        assert one.draft
        images = one.draft.images_sha256
        older = self._left(job, unfinished.entries(self.runs), images)
        if images not in job.scored and older is None:
            self._adopt(job, ref, {})
            return
        shutil.rmtree(one.hidden, ignore_errors=True)
        shutil.rmtree(one.work, ignore_errors=True)
        if images in job.scored:
            job.record = job.scored[images]
        else:
            self._begin(job, older)

    def _keep(self, job: Job, seed: Seed, answer: Answer) -> None:
        """Keep the result of a seed, in memory and on the disk."""
        job.open.discard(seed)
        if answer.failure is not None:
            student, number = seed
            self.table.say(f"failed: {job.title}, {student}, seed {number}: {answer.failure}")
        else:
            job.results[seed] = answer.value
            self._heal([job])
        self._finish_if_trained(job)

    def _heal(self, jobs: Sequence[Job] | None = None) -> bool:
        """Write results that are not on the disk as they should be; return whether there are any.

        They are for a later command: this one has them in memory. So a full disk costs nothing yet.
        """
        is_healed = False
        for job in self.jobs if jobs is None else jobs:
            if not job.ref or not job.ref.work.is_dir():
                continue
            cache = SeedCache(job.ref.work / unfinished.SEEDS)
            for result in job.results.values():
                sizes = [sum(row) for row in result.confusion]
                if cache.get(result.cache_key, sizes) != result:
                    is_healed = True
                    with contextlib.suppress(OSError):
                        cache.put(result)
        return is_healed

    def _fail(self, job: Job, failure: str) -> None:
        job.failure = failure
        self.table.say(f"failed: {job.title}: {failure}")

    def _state(self) -> State:
        busy = self.engine.at_work()
        left = sum(job.seconds_left for job in [*self.shards, *self.jobs])
        took = time.monotonic() - self.began
        return State(
            finished=sum(bool(job.record) for job in self.jobs),
            failed=sum(bool(job.failure or (job.record and not job.is_ok)) for job in self.jobs),
            runs=len(self.jobs),
            running=[_name(sent) for number, sent in self.sent.items() if number in busy],
            waiting=len(self.sent.keys() - busy),
            seconds_left=took * left / self.done_seconds if self.done_seconds else None,
            shards=(sum(shard.is_ok for shard in self.shards), len(self.shards)),
        )


def _name(sent: _Sent) -> str:
    return f"{sent.step} {sent.job.title}" + (f", seed {sent.seed[1]}" if sent.seed else "")


def _seconds(sent: _Sent) -> float:
    """Return the seconds that a task was expected to take."""
    expected = sent.job.expected
    if sent.step in FIRST:
        return expected.making
    return expected.seed if sent.seed else expected.scoring - expected.seeds * expected.seed
