"""What `pytest.mark.parametrize` asks for, outside of pytest's collection: arguments and their ids."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

PLAIN_IDS = (str, int, float, bool, type(None))
"""Types of values that are their own ids."""
PLAIN_ID_MAX = 100
"""Characters of an id; a longer one is the name of the argument and a number."""


def arguments_of(function: Callable[..., Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the arguments of each run of a test, with what pytest appends to its name.

    Raises `TypeError` for a mark other than `parametrize`: to leave it out would change the test.
    """
    tables: list[list[tuple[str, dict[str, Any]]]] = []
    for mark in getattr(function, "pytestmark", ()):
        if mark.name != "parametrize":
            raise TypeError(f"{function.__qualname__}: the mark {mark.name} is not known here")
        tables.append(_rows(*mark.args, **mark.kwargs))
    for chosen in itertools.product(*tables):
        arguments = {name: value for _, row in chosen for name, value in row.items()}
        yield f"[{'-'.join(row_id for row_id, _ in chosen)}]" if chosen else "", arguments


def _rows(
    names: str | Sequence[str],
    values: Sequence[Any],
    *,
    ids: Sequence[str] | Callable[[Any], str] | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    split = [names] if isinstance(names, str) else [*names]
    rows = [
        dict(zip(split, [value] if len(split) == 1 else value, strict=True)) for value in values
    ]
    if ids is not None and not callable(ids):
        return [*zip(ids, rows, strict=True)]
    found = [
        "-".join(_id(name, each, number, ids) for name, each in row.items())
        for number, row in enumerate(rows)
    ]
    often, seen = Counter(found), Counter[str]()
    for number, row_id in enumerate(found):
        if often[row_id] > 1:
            found[number] = f"{row_id}{seen[row_id]}"
            seen[row_id] += 1
    return [*zip(found, rows, strict=True)]


def _id(name: str, value: object, number: int, ids: Callable[[Any], str] | None) -> str:
    if ids is not None:
        return ids(value)
    if isinstance(value, bytes):
        return value.decode("ascii", "backslashreplace")
    if isinstance(value, PLAIN_IDS):
        plain = str(value).encode("ascii", "backslashreplace").decode()
        return plain if len(plain) <= PLAIN_ID_MAX else f"{name}{number}"
    return getattr(value, "__name__", f"{name}{number}")
