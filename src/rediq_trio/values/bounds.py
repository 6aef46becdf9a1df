"""The bounds of everything that comes from outside, and the validators that enforce them.

Each validator raises `ConfigError` with the field, the value and the bound.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any, TypeGuard

import attrs

from rediq_trio._errors import ConfigError

MAX_DELAY = 366 * 86_400.0
"""How far ahead a task may be scheduled, in seconds (1 year, also a leap year)."""
MAX_RETENTION = 10 * MAX_DELAY
"""How long a finished task may be kept, in seconds."""
MAX_TRIES = 1_000_000
"""The highest `max_retry` and `max_crashes`."""
MAX_TYPE = 256
"""Maximum characters of a task type's name, and of a unique key."""
MAX_METADATA = 64
"""Maximum entries of a task's metadata; each key and value has at most `MAX_METADATA_TEXT` characters."""
MAX_METADATA_TEXT = 4_096
WORKFLOW_METADATA = "rediq.workflow"
"""The key under which the id of a task's workflow is stored; no user may use it."""
MISSED_AFTER = 60.0
"""Seconds after which a tick counts as missed, not late: workers pause and restart."""
MAX_DEPTH = 64
"""Maximum levels of nesting in a payload."""
MAX_PAYLOAD = 512 * 1024
"""The default of `max_payload`, in bytes."""
PATIENCE = 15.0
"""The default of `patience`: seconds for which lost calls are repeated."""
MAX_PATIENCE = 3600.0
"""Maximum seconds of `patience` and `connect_patience`."""

MAX_DEPENDENCIES = 10_000
"""Maximum number of tasks that one task may depend on."""
MAX_LABEL = 128
"""Maximum bytes, as UTF-8, of a group's name and of a limit key."""

NAME_BOUND = "1 to 128 of a-z A-Z 0-9 . _ : -"
_NAME = re.compile(r"[a-zA-Z0-9._:-]{1,128}")
_PARTITION = re.compile(r"[a-zA-Z0-9._:-]{1,128}(~[0-9]{1,2})?")

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value can be a queue's name or a task's local id."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


class PartitionName(str):
    """The name of a partition, `"<queue>~<number>"`; only the library makes one."""

    __slots__ = ()


def is_partition(value: object) -> bool:
    """Return whether a value can name a queue or a partition of one."""
    return isinstance(value, str) and _PARTITION.fullmatch(value) is not None


def queue_of(partition: str) -> str:
    """Return the queue of a partition, which is itself where it is not partitioned."""
    return partition.partition("~")[0]


def is_task_id(value: object) -> bool:
    """Return whether a value can be a task's id, `"<queue>/<id>"`."""
    if not isinstance(value, str):
        return False
    partition, _, local_id = value.partition("/")
    return is_partition(partition) and is_name(local_id)


def check_name(field: str, value: object) -> str:
    """Return the value if it can be a name; raise `ConfigError` otherwise."""
    if not is_name(value):
        raise ConfigError.of(field, value, NAME_BOUND)
    return value


def check_label(field: str, value: object) -> str:
    """Return the value if it can name a group or a limit key; raise `ConfigError` otherwise."""
    text = value if isinstance(value, str) and value.isprintable() and value != "*" else ""
    if 0 < len(text.encode("utf-8", "replace")) <= MAX_LABEL:
        return text
    bound = f"1 to {MAX_LABEL} printable characters (bytes, as UTF-8), and not '*'"
    raise ConfigError.of(field, value, bound)


def check_text(field: str, value: object, low: int, high: int) -> str:
    """Return the value if it is any text of `low` to `high` characters; raise `ConfigError` otherwise."""
    if isinstance(value, str) and low <= len(value) <= high and _is_unicode(value):
        return value
    bound = f"text of {low:,} to {high:,} characters, without surrogates"
    raise ConfigError.of(field, value, bound)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def check_number(
    field: str,
    value: object,
    low: float,
    high: float,
    *,
    integer: bool = False,
    above: bool = False,
) -> None:
    """Raise `ConfigError` unless low <= value <= high (low < value with `above`); never NaN or bool."""
    kinds = (int,) if integer else (int, float)
    good = (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and low <= value <= high  # False for NaN
        and not (above and value == low)
    )
    if not good:
        kind = "a whole number" if integer else "a number"
        edge = "above" if above else "from"
        raise ConfigError.of(field, value, f"{kind} {edge} {low:,} to {high:,}")


def check_flag(field: str, value: object) -> None:
    """Raise `ConfigError` unless the value is True or False."""
    if not isinstance(value, bool):
        raise ConfigError.of(field, value, "True or False")


def number(
    low: float, high: float = math.inf, *, integer: bool = False, above: bool = False
) -> Validator:
    """Return an attrs validator that calls `check_number`."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        check_number(attribute.name, value, low, high, integer=integer, above=above)

    return validate


Duration = float | dt.timedelta
"""A duration as users pass it: seconds, or a timedelta."""


def to_seconds(value: Duration) -> float:
    """Return a duration in seconds, a timedelta rounded to the millisecond; nothing is checked."""
    # Nearly every value is a float or None; these converters run for each task that is made.
    if type(value) is float or not isinstance(value, dt.timedelta):
        return value
    return round(value.total_seconds(), 3)


def to_seconds_or_none(value: Duration | None) -> float | None:
    """Return a duration in seconds, or None, as `to_seconds`."""
    return None if value is None else to_seconds(value)


def to_seconds_or_instant(value: Duration | dt.datetime | None) -> float | dt.datetime | None:
    """Return a duration in seconds, an instant, or None, as `to_seconds`."""
    if value is None or not isinstance(value, dt.timedelta):
        return value
    return round(value.total_seconds(), 3)


def check_seconds(
    field: str, value: object, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Raise `ConfigError` unless the value is a number of seconds within the bounds."""
    try:
        check_number(field, value, low, high, above=above)
    except ConfigError:
        edge = "above" if above else "from" if high < math.inf else "of at least"
        bound = f"a number of seconds {edge} {low:,}"
        if high < math.inf:
            years = {MAX_DELAY: " (1 year)", MAX_RETENTION: " (10 years)"}.get(high, "")
            bound += f" to {high:,.10g}{years}"
        raise ConfigError.of(field, value, f"{bound}, or a timedelta") from None


def seconds(low: float, high: float = math.inf, *, above: bool = False) -> Validator:
    """Return an attrs validator that calls `check_seconds`."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if type(value) is float and low < value <= high:
            return
        check_seconds(attribute.name, value, low, high, above=above)

    return validate


def name(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate a queue's name or a local id."""
    check_name(attribute.name, value)


def queue(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate a queue's name, or the partition that the library chose for a task."""
    if not (isinstance(value, PartitionName) and is_partition(value)):
        check_name(attribute.name, value)


def text(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate the name of a task type, or a unique key."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TYPE or not value.isprintable():
        raise ConfigError.of(attribute.name, value, f"1 to {MAX_TYPE} printable characters")


def choice(*words: str) -> Validator:
    """Return a validator that accepts these words only."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in words:
            raise ConfigError.of(attribute.name, value, "one of " + ", ".join(words))

    return validate


def one_of(*kinds: type) -> Validator:
    """Return a validator that accepts instances of these types only."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kinds):
            raise ConfigError.of(attribute.name, value, " or ".join(k.__name__ for k in kinds))

    return validate


def check_instant(field: str, value: object) -> None:
    """Raise `ConfigError` unless the value is a datetime with a time zone."""
    if not isinstance(value, dt.datetime) or value.tzinfo is None or value.utcoffset() is None:
        raise ConfigError.of(field, value, "a datetime with a time zone")
