"""Parse the values of a method's options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from benchmark_adapters.types import Method, Option, UserError

BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def parse(method: Method, texts: Sequence[str]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` texts; return the values of all options, including defaults.

    Raises:
        UserError: an option is unknown, or a value has the wrong type or is not allowed.
    """
    known = {option.name: option for option in method.options}
    values = {option.name: option.default for option in method.options}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text}: expected KEY=VALUE")
        if name not in known:
            names = ", ".join(known) or "none"
            raise UserError(
                f"--option {text}: {method.name} has no option {name!r}; it has: {names}"
            )
        values[name] = _value(known[name], value, text)
    return values


def _value(option: Option, value: str, text: str) -> Any:
    if option.choices and value not in option.choices:
        raise UserError(f"--option {text}: expected one of {', '.join(option.choices)}")
    if option.type is bool:
        if value.lower() not in BOOLEANS:
            raise UserError(f"--option {text}: expected true or false")
        return BOOLEANS[value.lower()]
    try:
        result = option.type(value)
    except ValueError:
        raise UserError(f"--option {text}: expected {option.type.__name__}") from None
    try:
        if option.check:
            option.check(result)
    except ValueError as error:
        raise UserError(f"--option {text}: {error}") from None
    if isinstance(result, float) and not math.isfinite(result):
        raise UserError(f"--option {text}: expected a finite number")
    return result
