"""The parent's end of a child process: start it with a job and listen to its events.

A child reads two lines from its stdin: its job, and what is known about third-party plugins. The
pipe stays open as a lifeline: when it closes, the parent is gone, and the child exits. Events use a
separate pipe, so that nothing the child prints can be mistaken for one.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from benchmark_adapters import plugins
from benchmark_adapters.execution.messages import MAX_EVENT
from benchmark_adapters.execution.process_tree import ProcessTree, signals_blocked

STDERR = 2
# Seconds between two checks of whether a child is still alive.
POLL = 0.1
# Most bytes that are read from a pipe once its process should be dead.
MAX_UNREAD = 64 * 2**20


class UnknownEvent(Exception):
    """Raised if a child writes something to its event pipe that is not an event."""


@dataclass
class Child:
    """A child process.

    Attributes:
        events: the file descriptor to read its events from.
        unread: the beginning of an incomplete line.
        is_done: no more events will come from it.
        max_event: the largest size of an event in bytes; None: `MAX_EVENT`.
    """

    process: subprocess.Popen[bytes]
    events: int
    unread: bytes = b""
    is_done: bool = False
    max_event: int | None = None

    def lines(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes.

        Raises:
            UnknownEvent: a line is longer than any event.
        """
        *lines, self.unread = (self.unread + data).split(b"\n")
        if max(map(len, [*lines, self.unread])) > (self.max_event or MAX_EVENT):
            raise UnknownEvent
        return lines

    def close(self) -> None:
        """Close the pipes, which stops a child that is still running."""
        os.close(self.events)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def start(
    tree: ProcessTree,
    module: str,
    job: msgspec.Struct,
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
    prefix: Sequence[str] = (),
) -> Child:
    """Start ``python -m module`` and send it ``job``.

    Args:
        tree: the process tree that the child joins.
        module: name of the module to run.
        job: the job to send.
        environment: environment variables to add for the child.
        output: destination of the child's stdout and stderr, as for `subprocess.Popen`; None: this
            process's stderr.
        prefix: the beginning of the command line, which isolates the process.

    Returns:
        The child.

    Raises:
        OSError: the process can't be started.
    """
    events, write_end = os.pipe()
    try:
        process = tree.start(
            [*prefix, sys.executable, "-P", "-m", module, str(write_end)],
            environment={**(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=STDERR if output is None else output,
            stderr=None if output is None else subprocess.STDOUT,
            pass_fds=[write_end],
        )
    except OSError:
        os.close(events)
        raise
    finally:
        os.close(write_end)
    assert process.stdin
    # If the child died at once, `listen` finds out.
    with contextlib.suppress(BrokenPipeError):
        for message in (job, plugins.THIRD_PARTY.get()):
            process.stdin.write(msgspec.json.encode(message) + b"\n")
        process.stdin.flush()
    return Child(process, events)


def listen(
    children: Sequence[Child],
    deadline: float | None,
    on_events: Callable[[Child, bytes], None],
    on_output: Callable[[bytes], None] | None = None,
    on_poll: Callable[[], None] | None = None,
) -> None:
    """Receive events until every child is done or dead, or the deadline has passed.

    Args:
        children: the children to listen to.
        deadline: on the clock of ``time.monotonic``; None: no deadline.
        on_events: receives what a child wrote to its event pipe. It sets ``is_done`` at the last
            event.
        on_output: receives what the children print, if their stdout is a pipe.
        on_poll: called after each wait.
    """
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.events, selectors.EVENT_READ, child)
            if child.process.stdout:
                selector.register(child.process.stdout, selectors.EVENT_READ)
        while running := [child for child in children if not child.is_done]:
            remaining = POLL if deadline is None else deadline - time.monotonic()
            if remaining <= 0:
                return
            dead = [child for child in running if child.process.poll() is not None]
            timeout = 0 if dead else min(remaining, POLL)
            ready = [(key.fd, key.data) for key, _ in selector.select(timeout)]
            for descriptor, child in ready:
                # An interruption must not lose what has been read.
                with signals_blocked():
                    data = os.read(descriptor, 65536)
                    if not data:
                        selector.unregister(descriptor)
                    elif child is not None:
                        on_events(child, data)
                    elif on_output:
                        on_output(data)
            heard = {descriptor for descriptor, _ in ready}
            for child in dead:
                child.is_done |= child.events not in heard
            if on_poll:
                on_poll()


def unread(descriptor: int) -> Iterator[bytes]:
    """Yield the data that is still in a pipe, without waiting for more."""
    os.set_blocking(descriptor, False)
    read = 0
    with contextlib.suppress(BlockingIOError):
        while read < MAX_UNREAD and (data := os.read(descriptor, 65536)):
            read += len(data)
            yield data
