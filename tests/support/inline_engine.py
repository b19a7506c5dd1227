"""An engine that does the tasks of a sweep in this process, one after the other."""

import contextlib

from benchmark_adapters.runs import unfinished
from benchmark_adapters.sweeps import tasks
from benchmark_adapters.sweeps.engines.engine import Lost


class Inline:
    """Do each task when it is waited for, those under a clock first, and note its name.

    ``loses(task)`` says before a task whether its worker dies at once, and ``after(task)`` is
    called when it is done; if it returns True, the worker died before it could answer. Tasks begin
    in another folder, as on a cluster.
    """

    def __init__(self, loses=lambda task: False, after=lambda task: False):
        self.environment = unfinished.here()
        self.waiting, self.done, self.count = {}, [], 0
        self.loses, self.after = loses, after

    def submit(self, task):
        self.count += 1
        self.waiting[self.count] = task
        return self.count

    def wait(self, seconds):
        number = min(self.waiting, key=lambda one: (not self.waiting[one].is_clocked, one))
        task = self.waiting.pop(number)
        if self.loses(task):
            return [(number, Lost("its worker was killed"))]
        with contextlib.chdir("/"):
            answer = tasks.answer(task.function, task.arguments)
        self.done.append((task.function.__name__, *task.arguments[1:3]))
        return [(number, Lost("its worker was killed") if self.after(task) else answer)]

    def at_work(self):
        return set()

    def close(self):
        pass
