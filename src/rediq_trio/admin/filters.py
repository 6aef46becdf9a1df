"""TaskFilter: which tasks of a queue are meant.

The store tests what its scripts can test at little cost, see `Where`. What is inside of envelopes is
tested here, by the process that reads them: so it is found in encrypted ones by those who have the
keys, and by nobody else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, did_you_mean
from rediq_trio.store.reads.scan import Where
from rediq_trio.values.bounds import (
    MAX_METADATA,
    MAX_METADATA_TEXT,
    MAX_RETENTION,
    MAX_TYPE,
    check_instant,
    check_label,
    check_number,
    check_seconds,
    check_text,
    to_seconds_or_instant,
)
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.task import TaskInfo
from rediq_trio.wire.packing import pack

KIND_MAX = 64
"""Maximum characters of a kind of failure that is looked for."""
SOUGHT_MAX = 1000
"""Maximum characters of a part of a text that is looked for, and of a path."""
PAYLOAD_WANTED = (
    "text to look for, or a path and a value, such as ('user.id', 7): 1 to 1,000 characters"
)


@attrs.frozen(kw_only=True)
class TaskFilter:
    """Which tasks are meant; None leaves a field untested. See `FilterOptions`."""

    type: str | None = None
    error: str | None = None
    kind: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str])
    limit_key: str | None = None
    priority: int | None = None
    older_than: float | dt.datetime | None = None
    """Seconds, or an instant."""
    younger_than: float | dt.datetime | None = None
    payload: str | tuple[str, Any] | None = None

    @property
    def reads_payloads(self) -> bool:
        """Whether it can only be tested by those who can read the envelopes."""
        return self.payload is not None or bool(self.metadata)

    @property
    def timed(self) -> bool:
        """Whether it depends on the time."""
        return self.older_than is not None or self.younger_than is not None

    def where(self, now_ms: int, *, entered_by_ms: int = 0) -> Where:
        """Return what the store tests, with ages that count back from an instant."""
        until = 0 if self.older_than is None else _ms_of(self.older_than, now_ms)
        since = 0 if self.younger_than is None else _ms_of(self.younger_than, now_ms)
        return Where(
            priority=self.priority,
            limit_key=self.limit_key or "",
            type_head=b"" if self.type is None else pack(self.type),
            error=self.error or "",
            kind=self.kind or "",
            since_ms=max(0, since),
            until_ms=max(1, until) if self.older_than is not None else 0,
            entered_by_ms=entered_by_ms,
        )

    def described(self) -> dict[str, str]:
        """Return what it tests, for an audit: of payload and metadata only that they are tested."""
        said = {
            name: str(value)
            for name, value in attrs.asdict(self, recurse=False).items()
            if value is not None and name not in ("metadata", "payload")
        }
        hidden = {"metadata": bool(self.metadata), "payload": self.payload is not None}
        return said | {name: "(not kept)" for name, tested in hidden.items() if tested}

    def chooses(self, info: TaskInfo) -> bool:
        """Return whether it chooses a task that the store has chosen."""
        return (
            (self.type is None or info.type == self.type)
            and self.metadata.items() <= info.metadata.items()
            and (self.payload is None or _holds(self._payloads(info), self.payload))
        )

    def _payloads(self, info: TaskInfo) -> list[Any]:
        if info.payload_missing is not None:
            return []
        return cast("list[Any]", info.payload) if info.members else [info.payload]


def read_filter(method: str, options: Mapping[str, Any]) -> TaskFilter:
    """Return the filter of these options; raise `ConfigError` for one that is unknown or out of bounds."""
    known = FilterOptions.__annotations__
    for name in options.keys() - known.keys():
        raise ConfigError(f"{method}(): there is no option {name}{did_you_mean(name, known)}")
    # None is the same as left out: so a program can pass on what it was given.
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("older_than", "younger_than"):
        if name in given:
            given[name] = _checked_age(name, given[name])
    if "type" in given:
        check_text("type", given["type"], 1, MAX_TYPE)
    if "error" in given:
        check_text("error", given["error"], 1, SOUGHT_MAX)
    if "kind" in given:
        check_text("kind", given["kind"], 1, KIND_MAX)
    if "limit_key" in given:
        check_label("limit_key", given["limit_key"])
    if "priority" in given:
        check_number("priority", given["priority"], 0, 100, integer=True)
    if "metadata" in given:
        given["metadata"] = _checked_metadata(given["metadata"])
    if "payload" in given:
        _check_payload(given["payload"])
    return TaskFilter(**given)


def _checked_age(name: str, value: Any) -> float | dt.datetime:
    if isinstance(value, dt.datetime):
        check_instant(name, value)
        return value
    age = to_seconds_or_instant(value)
    check_seconds(name, age, 0, MAX_RETENTION)
    assert age is not None
    return age


def _checked_metadata(value: Any) -> dict[str, str]:
    bound = (
        f"a mapping of at most {MAX_METADATA} texts of {MAX_METADATA_TEXT:,} characters to texts"
    )
    if not isinstance(value, Mapping) or len(cast("Mapping[Any, Any]", value)) > MAX_METADATA:
        raise ConfigError.of("metadata", cast("Any", value), bound)
    found = dict(cast("Mapping[Any, Any]", value))
    for each in (*found.keys(), *found.values()):
        if not isinstance(each, str) or len(each) > MAX_METADATA_TEXT:
            raise ConfigError.of("metadata", each, bound)
    return found


def _check_payload(value: Any) -> None:
    parts = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else ()
    path: Any = parts[0] if len(parts) == 2 else cast("Any", value)
    if not isinstance(path, str) or not 1 <= len(path) <= SOUGHT_MAX:
        raise ConfigError.of("payload", cast("Any", value), PAYLOAD_WANTED)


def _ms_of(age: float | dt.datetime, now_ms: int) -> int:
    if isinstance(age, dt.datetime):
        return round(age.timestamp() * 1000)
    return now_ms - round(age * 1000)


def _holds(payloads: list[Any], wanted: str | tuple[str, Any]) -> bool:
    if isinstance(wanted, str):
        return any(wanted in text for text in _texts(payloads))
    path, value = wanted
    return any(_equal(found, value) for each in payloads for found in _at(each, path))


def _texts(payloads: list[Any]) -> list[str]:
    """Return all texts in plain data, keys and numbers as texts among them."""
    left, found = [*payloads], list[str]()
    for item in left:
        if isinstance(item, dict):
            left += [*cast("dict[Any, Any]", item).keys(), *cast("dict[Any, Any]", item).values()]
        elif isinstance(item, list):
            left += cast("list[Any]", item)
        elif isinstance(item, str):
            found.append(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            found.append(str(item))
    return found


def _at(value: Any, path: str) -> list[Any]:
    """Return what is at a path of keys and indexes; nothing if there is no such place."""
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = cast("dict[Any, Any]", value)[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(cast("Any", value)):
            value = cast("list[Any]", value)[int(name)]
        else:
            return []
    return [value]


def _equal(found: Any, value: Any) -> bool:
    # In Python, True equals 1.
    return found == value and isinstance(found, bool) == isinstance(value, bool)
