"""Read pickles as data: no object is made but numbers, text, containers and what the caller knows.

This is not Python's unpickler, nor PyTorch's, which calls functions that the stream names. A stream
is a list of opcodes. Those few that ``torch.save`` writes are known here; all others are refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from benchmark_adapters.formats.bounds import Refused

# Results of other tools take a few thousand. A million takes seconds.
MAX_OPCODES = 1_000_000
MAX_ARGUMENTS = 16
# Functions by the names that a stream has for them, as "MODULE NAME".
Known = Mapping[str, Callable[..., Any]]
Persistent = Callable[[Any], Any]

CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
CONTAINERS: Mapping[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
# The last is text of Python 2.
VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUT, GET = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")


class Stateful:
    """An object that gets its state from the stream."""

    state: Any = None


def read(stream: BinaryIO, known: Known, persistent: Persistent) -> Any:
    """Return the object that the next pickle in a stream describes.

    Entries of dicts whose key is not text are left out.

    Args:
        stream: its length bounds that of text in it.
        known: what stands for the functions and classes that the stream may name.
        persistent: returns what a persistent ID stands for.

    Raises:
        Refused: the stream is no pickle, is too long, or has an opcode or a name that is not known.
    """
    machine = _Machine(known, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise Refused(f"more than {MAX_OPCODES:,} opcodes")
            machine.step(opcode.name, argument)
        return machine.stack[-1]
    # What fails in a damaged stream: its end or an argument, an empty stack or memo, a wrong type.
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise Refused(f"damaged ({error})") from None


class _Machine:
    """The stack machine that a pickle is written for."""

    def __init__(self, known: Known, persistent: Persistent) -> None:
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in VALUES:
            stack.append(argument)
        elif name in CONTAINERS:
            stack.append(CONTAINERS[name]())
        elif name in PUT:
            self.memo[argument] = stack[-1]
        elif name in GET:
            stack.append(self.memo[argument])
        elif name in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name == "TUPLE":
            items = self._above_mark()
            self.stack.append(tuple(items))
        elif name == "GLOBAL":
            stack.append(self._named(argument))
        elif name == "BINPERSID":
            stack.append(self.persistent(stack.pop()))
        elif name not in ("PROTO", "STOP"):
            self._change(name)

    def _change(self, name: str) -> None:
        """Do the opcodes that change or call what is on the stack."""
        if name in ("APPENDS", "SETITEMS"):
            items = self._above_mark()
        else:
            items = [self.stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        target = self.stack[-1]
        if name in ("APPEND", "APPENDS") and type(target) is list:
            target.extend(items)
        elif name in ("SETITEM", "SETITEMS") and type(target) is dict:
            pairs = zip(items[::2], items[1::2], strict=True)
            # Numbers can be chosen so that a dict of them takes forever.
            target.update((key, value) for key, value in pairs if isinstance(key, str))
        elif name == "REDUCE" and any(target is one for one in self.known.values()):
            self.stack[-1] = target(*_arguments(items[0]))
        elif name == "BUILD" and isinstance(target, Stateful):
            target.state = items[0]
        # Ordered dicts have further state, which is left out.
        elif name != "BUILD" or type(target) is not dict:
            raise Refused(f"it has {name} where plain tensors have none")

    def _above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _named(self, name: str) -> Callable[..., Any]:
        if name not in self.known:
            raise Refused(f"it names {name.replace(' ', '.')}, which plain tensors don't need")
        return self.known[name]


def _arguments(items: Any) -> tuple[Any, ...]:
    """Return the arguments of a call. A stream could repeat a call with many of them."""
    if not isinstance(items, tuple) or len(items) > MAX_ARGUMENTS:
        raise Refused("it has a call with too many arguments")
    return items
