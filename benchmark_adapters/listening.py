"""Progress for a caller from Python, who gets it by a function, while nothing is printed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from benchmark_adapters import reporting

# Called with (phase, done, total); a total of None is unknown.
Listener = Callable[[str, int, int | None], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)

T = TypeVar("T")


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Pass all progress to ``listener``, and print nothing.

    If the listener raises an exception, the run stops as if it had been interrupted, saves what it
    made, and the exception is raised again.
    """
    raised: list[BaseException] = []

    def guarded(phase: str, done: int, total: int | None) -> None:
        try:
            listener(phase, done, total)
        # The listener is the user's own code.
        except BaseException as error:
            raised.append(error)
            raise KeyboardInterrupt from error

    token = _LISTENER.set(guarded)
    try:
        yield
    except KeyboardInterrupt:
        if not raised:
            raise
    finally:
        _LISTENER.reset(token)
    if raised:
        raise raised[0]


def listener() -> Listener | None:
    """Return the function that gets the progress, if there is one."""
    return _LISTENER.get()


def counted(items: Iterable[T], phase: str, total: int, unit: str) -> Iterator[T]:
    """Yield ``items`` and show how many there were: on a terminal, or to the listener."""
    if heard := listener():
        for done, item in enumerate(items, 1):
            yield item
            heard(phase, done, total)
        return
    yield from reporting.bar(items, desc=phase, total=total, unit=unit)
