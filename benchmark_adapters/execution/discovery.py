"""Find out what third-party plugins offer, each in a process of its own with a time limit.

An import that hangs, ends its process, starts others or changes modules costs one line: it touches
neither this process nor the other plugins.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import msgspec

from benchmark_adapters import plugin_import, plugins
from benchmark_adapters.plugins import PartDescription, Plugins
from benchmark_adapters.types import one_line

if TYPE_CHECKING:
    from benchmark_adapters.execution.channel import Child

READER = "benchmark_adapters.execution.plugin_reader"
COMMANDS = "ddbench.commands"
# Seconds by which all plugins must have been imported; they are imported at the same time.
SECONDS = 20.0


def installed() -> Plugins:
    """Return the components of all installed plugins. Child processes will know the same."""
    parts, problems = describe(_third_party(plugin_import.GROUP))
    plugins.THIRD_PARTY.set(parts)
    return plugins.build(problems)


def commands() -> tuple[dict[str, str], list[str]]:
    """Return the short help of third-party commands by name, and one message for each problem."""
    parts, problems = describe(_third_party(COMMANDS))
    return {part.name: part.summary for part in parts}, problems


def describe(entries: Sequence[EntryPoint]) -> tuple[list[PartDescription], list[str]]:
    """Return the components of plugins, or commands, and one message for each problem."""
    readings = _read(entries) if entries else []
    parts = [part for reading in readings for part in reading.parts]
    return parts, [problem for reading in readings for problem in reading.problems]


def _third_party(group: str) -> list[EntryPoint]:
    return [entry for entry in plugin_import.installed(group) if not plugin_import.is_own(entry)]


@dataclass
class _Reading:
    """What is known of one plugin."""

    entry: EntryPoint
    parts: list[PartDescription] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_read: bool = False

    @property
    def name(self) -> str:
        is_command = self.entry.group == COMMANDS
        return self.entry.name if is_command else plugin_import.source(self.entry)

    def skip(self, reason: str) -> None:
        """Note why the plugin can't be used."""
        kind = "command" if self.entry.group == COMMANDS else "plugin"
        self.problems.append(f"{kind} {self.name} skipped because its import {reason}")
        self.is_read = True

    def hear(self, child: Child, data: bytes) -> None:
        """Take what the plugin's process wrote."""
        from benchmark_adapters.execution.channel import UnknownEvent
        from benchmark_adapters.execution.messages import Ended, Failed, PluginRead

        try:
            for line in child.lines(data):
                event = msgspec.json.decode(line, type=PluginRead | Failed | Ended)
                child.is_done = True
                if self.is_read:
                    return
                if isinstance(event, PluginRead):
                    source, module = plugin_import.source(self.entry), self.entry.value
                    self.parts += [
                        replace(part, plugin=source, module=module) for part in event.parts
                    ]
                    self.problems += map(one_line, event.problems)
                    self.is_read = True
                elif isinstance(event, Failed):
                    self.skip(f"failed: {one_line(event.text)}")
        except (UnknownEvent, msgspec.DecodeError):
            child.is_done = True
            self.skip("wrote to the pipe reserved for the harness")

    def conclude(self, child: Child) -> None:
        """Note how the process ended, unless it said what the plugin offers."""
        from benchmark_adapters.execution.process_tree import signal_name

        if self.is_read:
            return
        if not child.is_done:
            self.skip(f"took longer than {SECONDS:g} s; import heavy packages inside functions")
            return
        code = child.process.wait()
        reason = f"signal {signal_name(-code)}" if code < 0 else f"exit code {code}"
        self.skip(f"ended its process with {reason}")


def _read(entries: Sequence[EntryPoint]) -> list[_Reading]:
    """Import each plugin in its own process, all at the same time. None of them is left."""
    from benchmark_adapters.execution import channel
    from benchmark_adapters.execution.messages import PluginJob
    from benchmark_adapters.execution.process_tree import process_tree

    readings = [_Reading(entry) for entry in entries]
    with process_tree() as tree, contextlib.ExitStack() as pipes:
        children: dict[int, tuple[Child, _Reading]] = {}
        for reading in readings:
            entry = reading.entry
            job = PluginJob(reading.name, entry.value, is_command=entry.group == COMMANDS)
            try:
                child = channel.start(tree, READER, job, _environment(), subprocess.DEVNULL)
            except OSError as error:
                reading.skip(f"could not start: {error.strerror}")
                continue
            pipes.callback(child.close)
            children[child.events] = child, reading
        deadline = time.monotonic() + SECONDS
        channel.listen(
            [child for child, _ in children.values()],
            deadline,
            lambda child, data: children[child.events][1].hear(child, data),
        )
        for child, reading in children.values():
            reading.conclude(child)
    return readings


def _environment() -> dict[str, str]:
    """Return the variables of the processes: what they start looks for modules safely, too."""
    from benchmark_adapters.execution.child import MEMORY_ENV
    from benchmark_adapters.execution.sandbox import HAS_MEMORY_LIMIT, Limits

    memory = {MEMORY_ENV: str(Limits().memory_bytes)} if HAS_MEMORY_LIMIT else {}
    return {"PYTHONSAFEPATH": "1", **memory}
