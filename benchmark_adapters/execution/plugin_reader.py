"""The child process that imports a third-party plugin and says what it offers.

The parent's end is `benchmark_adapters.execution.discovery`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

import msgspec

from benchmark_adapters import plugin_import
from benchmark_adapters.execution import child
from benchmark_adapters.execution.child import Send
from benchmark_adapters.execution.messages import PluginJob, PluginRead
from benchmark_adapters.plugin_import import Part
from benchmark_adapters.plugins import PartDescription
from benchmark_adapters.types import Track, one_line

MAX_SUMMARY = 1000


def read(job: PluginJob, send: Send) -> None:
    """Describe the components of a plugin, or a command."""
    entry = EntryPoint(job.name, job.module, plugin_import.GROUP)
    if job.is_command:
        send(_command(entry))
        return
    contents = plugin_import.read(entry, job.name)
    parts, problems = [], contents.problems
    for kind, part in contents.parts:
        try:
            parts.append(_describe(kind, part))
        # A plugin may make its components of anything.
        except Exception as error:
            reason = plugin_import.reason_of(error)
            problems.append(
                f"plugin {job.name}: {kind[:-1]} {part.name!r} skipped because {reason}"
            )
    send(PluginRead(parts, problems))


def _describe(kind: str, part: Part) -> PartDescription:
    track = None
    if isinstance(part, Track):
        track = msgspec.convert(msgspec.to_builtins(part), Track)
    return PartDescription(
        kind, str(part.name), one_line(part.summary, MAX_SUMMARY), "", track=track
    )


def _command(entry: EntryPoint) -> PluginRead:
    """Return the short help of a command, as its only part."""
    try:
        command = entry.load()
        if command.hidden:
            return PluginRead([], [])
        summary = one_line(command.get_short_help_str(MAX_SUMMARY), MAX_SUMMARY)
    # A plugin's module may raise anything.
    except (Exception, SystemExit) as error:
        reason = plugin_import.reason_of(error)
        return PluginRead([], [f"command {entry.name} skipped because its import failed: {reason}"])
    return PluginRead([PartDescription("commands", entry.name, summary, "")], [])


if __name__ == "__main__":
    child.serve_limited(PluginJob, read)
