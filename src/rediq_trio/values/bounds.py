"""The bounds of everything that comes from outside, and the validators that hold them.

Each validator raises `ConfigError` with the field, the value and the bound.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any

import attrs

from rediq_trio._errors import ConfigError

MAX_DELAY = 366 * 86_400.0
"""Seconds: how far ahead a task may be scheduled (1 year, leap years included)."""
MAX_RETENTION = 10 * MAX_DELAY
"""Seconds: how long a finished task may be kept."""
MAX_TRIES = 1_000_000
"""The highest `max_retry` and `max_crashes`."""
MAX_TYPE = 256
"""Characters of a task type's name."""
MAX_METADATA = 64
"""Entries of a task's metadata; each key and value at most `MAX_METADATA_TEXT` characters."""
MAX_METADATA_TEXT = 4_096
MAX_DEPTH = 64
"""Levels of nesting in a payload."""
MAX_PAYLOAD = 512 * 1024
"""Bytes: the default of `max_payload`."""

MAX_DEPENDENCIES = 10_000
"""Tasks that one task may depend on."""
MAX_LABEL = 128
"""Characters of a group's name and of a limit key, and bytes as UTF-8."""

NAME_BOUND = "1 to 128 of a-z A-Z 0-9 . _ : -"
_NAME = re.compile(r"[a-zA-Z0-9._:-]{1,128}")
_PLACE = re.compile(r"[a-zA-Z0-9._:-]{1,128}(~[0-9]{1,2})?")
# Until the year 3084 the first digit of its time is 0 or 1.

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def is_name(value: object) -> bool:
    """Say whether a value is a queue name or a task's own id."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


class Place(str):
    """The name of a partition, `"<queue>~<number>"`: no text that comes from outside is one."""

    __slots__ = ()


def is_place(value: object) -> bool:
    """Say whether a value names where tasks lie: a queue, or a partition of one."""
    return isinstance(value, str) and _PLACE.fullmatch(value) is not None


def queue_of(place: str) -> str:
    """Give the queue that a place belongs to."""
    return place.partition("~")[0]


def is_task_id(value: object) -> bool:
    """Say whether a value is a task's id, `"<queue>/<id>"`."""
    if not isinstance(value, str):
        return False
    place, _, own = value.partition("/")
    return is_place(place) and is_name(own)



def check_name(field: str, value: object) -> str:
    """Give the value back when it is a name; raise `ConfigError` otherwise."""
    if not is_name(value):
        raise ConfigError.of(field, value, NAME_BOUND)
    assert isinstance(value, str)
    return value


def check_label(field: str, value: object) -> str:
    """Give the value back when it can name a group or a limit key; raise `ConfigError` otherwise."""
    good = isinstance(value, str) and value.isprintable() and value != "*"
    if not good or not 0 < len(str(value).encode("utf-8", "replace")) <= MAX_LABEL:
        bound = f"1 to {MAX_LABEL} printable characters (bytes, as UTF-8), and not '*'"
        raise ConfigError.of(field, value, bound)
    assert isinstance(value, str)
    return value


def check_number(
    field: str, value: object, low: float, high: float, *, whole: bool = False, above: bool = False
) -> None:
    """Raise `ConfigError` unless low <= value <= high (low < value with `above`); never NaN or bool."""
    kinds = (int,) if whole else (int, float)
    good = (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and low <= value <= high  # False for NaN
        and not (above and value == low)
    )
    if not good:
        kind = "a whole number" if whole else "a number"
        edge = "above" if above else "from"
        raise ConfigError.of(field, value, f"{kind} {edge} {low:,} to {high:,}")


def number(low: float, high: float = math.inf, *, whole: bool = False, above: bool = False) -> Validator:
    """Make an attrs validator of `check_number`."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        check_number(attribute.name, value, low, high, whole=whole, above=above)

    return validate


def name(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate a queue name or an own id."""
    check_name(attribute.name, value)


def queue(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate a queue's name, or the place that the library gave a task."""
    if not (isinstance(value, Place) and is_place(value)):
        check_name(attribute.name, value)


def choice(*words: str) -> Validator:
    """Make a validator that takes these words only."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in words:
            raise ConfigError.of(attribute.name, value, "one of " + ", ".join(words))

    return validate


def one_of(*kinds: type) -> Validator:
    """Make a validator that takes instances of these types only."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kinds):
            raise ConfigError.of(attribute.name, value, " or ".join(k.__name__ for k in kinds))

    return validate


def check_instant(field: str, value: object) -> None:
    """Raise `ConfigError` unless the value is a datetime that knows its time zone."""
    if not isinstance(value, dt.datetime) or value.tzinfo is None or value.utcoffset() is None:
        raise ConfigError.of(field, value, "a datetime with a time zone")
