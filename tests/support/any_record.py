"""A strategy for all records that can be read, made from the types of a record's fields."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from leaderboard import stats
from leaderboard.records.record import SCHEMA, Record

# Anything but lone surrogates, which no record has.
TEXT = st.characters(exclude_categories=["Cs"])
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(-1e299, 1e299)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT), inner, max_size=3),
    max_leaves=5,
)
MATRICES = st.integers(1, 4).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, 2**63 - 1), min_size=size, max_size=size),
        min_size=size,
        max_size=size,
    )
)


def of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a type, within its bounds."""
    match kind:
        case inspect.DataclassType(cls, fields):
            return st.builds(cls, **{one.name: of(one.type) for one in fields})
        case inspect.UnionType(types):
            return st.one_of(*map(of, types))
        case inspect.ListType(item_type=item):
            return st.lists(of(item), max_size=4)
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(of(key), of(value), max_size=3)
        case inspect.LiteralType(values):
            return st.sampled_from(values)
        case inspect.StrType(pattern=None):
            return st.text(TEXT, max_size=60)
        case inspect.StrType(pattern=pattern):
            return st.from_regex(pattern, alphabet=TEXT)
        case inspect.IntType(ge=least, le=most):
            return st.integers(least, most)
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
    assert isinstance(kind, inspect.AnyType), kind
    return JSON


@st.composite
def records(draw: Any, **fixed: st.SearchStrategy[Any]) -> Record:
    """Return a record whose summary fits its accuracies; ``fixed`` has strategies of fields."""
    made = draw(of(inspect.type_info(Record)))
    values = {name: draw(strategy) for name, strategy in fixed.items()}
    accuracies = values.get("accuracies", made.accuracies)
    mean, spread, interval = stats.summary(accuracies)
    count = len(accuracies)
    return dataclasses.replace(
        made,
        **values,
        seeds=draw(st.lists(st.integers(0, 99), min_size=count, max_size=count)),
        accuracy_mean=mean,
        accuracy_std=draw(st.sampled_from([spread, 0.1, None])),
        accuracy_ci95=interval,
        confusion=draw(st.none() | MATRICES),
        schema=SCHEMA,
    )
