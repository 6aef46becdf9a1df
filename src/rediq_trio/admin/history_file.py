"""History files: histories as lines of JSON, written from a store and read from a file.

A line with `rediq_history` starts the history of one queue or partition and holds its
settings. Each line after it is one entry, without the fields that have their defaults. If
entries were cut away while they were read, the history continues as a new one with a first
line of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import ReplaySettings
from rediq_trio.spec.history.stream import numbers_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Limit
from rediq_trio.store.port import BATCH, Store
from rediq_trio.values.words import shown

HISTORY_FILE_VERSION = 1
"""Version of the file format."""

_NUMBER_COUNTS = {
    "begin": (0, 1), "flush": (0, 1), "pause": (1, 1), "resume": (1, 1), "arrange": (1, 1),
    "limit": (4, 4),
}  # fmt: skip
"""How many numbers an entry of a queue has, before and after."""
_FILE_NAMES = {
    "number": "step", "transition": "event", "owns_unique_key": "holds",
    "run_on_dependency_failure": "lenient",
}  # fmt: skip
"""How fields are named in a file, where that is otherwise: version 1 of the format stays."""
_ENTRY_FIELDS = {
    _FILE_NAMES.get(name, name): field for name, field in attrs.fields_dict(Entry).items()
}
_NUMBER_LIMIT = 2**53
"""A store never writes a number of this size or above."""


@attrs.frozen
class QueueHistory:
    """The history of one queue, or its latest part."""

    queue: str
    settings: ReplaySettings
    entries: tuple[Entry, ...]

    @property
    def is_complete(self) -> bool:
        """Whether it covers every task: it starts when there was none."""
        first = self.entries[0] if self.entries else None
        return first is not None and first.transition == "begin" and first.after == (0,)


async def history_lines(store: Store, partition: str) -> AsyncGenerator[str]:
    """Yield the lines of a history file for a queue or a partition."""
    # The settings are read first: every later change of them has an entry.
    queue = (await store.stats(partition)).queue
    settings = ReplaySettings(queue.paused, queue.fair, await store.limits(partition))
    last = -1
    while True:
        page = await store.history(partition, after=max(last, 0), limit=BATCH)
        if last < 0 or (page and page[0].number != last + 1):
            yield header_line(partition, queue.history, settings)
        if not page:
            return
        for entry in page:
            yield entry_line(entry)
        last = page[-1].number


def header_line(partition: str, size: int, settings: ReplaySettings) -> str:
    """Return the line that begins a history."""
    limits = settings.limits or {}
    head = {
        "rediq_history": HISTORY_FILE_VERSION,
        "queue": partition,
        "kept": size,
        "paused": settings.paused,
        "fair": settings.fair,
        "limits": {key: numbers_of(limits[key]) for key in sorted(limits)},
    }
    return json.dumps(head, ensure_ascii=False)


def entry_line(entry: Entry) -> str:
    """Return the line of an entry."""
    found = {key: getattr(entry, field.name) for key, field in _ENTRY_FIELDS.items()}
    fields = {key: value for key, value in found.items() if value != _ENTRY_FIELDS[key].default}
    if entry.nonce:
        fields["nonce"] = entry.nonce.hex()
    return json.dumps(fields, ensure_ascii=False)


def read_histories(lines: Iterable[str]) -> Iterator[QueueHistory]:
    """Read the histories of a file; raise `ConfigError` that names the first bad line."""
    head: QueueHistory | None = None
    entries: list[Entry] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data: Any = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("not a JSON object")  # noqa: TRY004  (bad data, as any other)
            fields = cast("dict[str, Any]", data)
            if "rediq_history" in fields:
                if head is not None:
                    yield attrs.evolve(head, entries=tuple(entries))
                head, entries = _read_head(fields), []
            elif head is None:
                raise ValueError("the first line has no 'rediq_history'")
            else:
                entries.append(_read_entry(fields))
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(f"line {number} is not a line of a history: {error}") from error
    if head is None:
        raise ConfigError(f"no history in {number} lines")
    yield attrs.evolve(head, entries=tuple(entries))


def read_history_file(path: str) -> list[QueueHistory]:
    """Read the histories of a file; raise `ConfigError` that names the file, and its first bad line."""
    try:
        with open(path, encoding="utf-8") as lines:
            return list(read_histories(lines))
    except OSError as error:
        raise ConfigError(f"{shown(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)}: no text: {error.reason}") from error
    except ConfigError as error:
        raise ConfigError(f"{shown(path)}: {error}") from error


def _read_head(fields: Mapping[str, Any]) -> QueueHistory:
    if (version := fields["rediq_history"]) != HISTORY_FILE_VERSION:
        raise ValueError(f"version {version!r}; this one reads version {HISTORY_FILE_VERSION}")
    limits = {
        _typed("limits", key, str): Limit(*_tuple("limits", numbers, int))
        for key, numbers in _typed("limits", fields.get("limits", {}), dict).items()
    }
    flag = (bool, type(None))
    paused, fair = (_typed(name, fields.get(name), flag) for name in ("paused", "fair"))
    queue = _typed("queue", fields.get("queue"), str)
    return QueueHistory(queue, ReplaySettings(paused, fair, limits), ())


def _read_entry(fields: Mapping[str, Any]) -> Entry:
    if unknown := sorted(fields.keys() - _ENTRY_FIELDS.keys()):
        raise ValueError(f"there is no field {unknown[0]!r}")
    read = {
        _ENTRY_FIELDS[key].name: _FIELD_READERS[_ENTRY_FIELDS[key].type](key, value)
        for key, value in fields.items()
    }
    entry = Entry(**read)
    if not entry.id and entry.transition in _NUMBER_COUNTS:
        sizes = len(entry.before), len(entry.after)
        if sizes != _NUMBER_COUNTS[entry.transition]:
            numbers = f"{sizes[0]} and {sizes[1]} numbers"
            raise ValueError(f"a step {entry.transition!r} cannot have {numbers}")
    return entry


def _typed(name: str, value: Any, kind: Any) -> Any:
    good = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not good or (kind is int and not 0 <= value < _NUMBER_LIMIT):
        raise ValueError(f"{name} is {value!r}"[:80])
    return value


def _tuple(name: str, value: Any, kind: Any) -> tuple[Any, ...]:
    return tuple(_typed(name, one, kind) for one in _typed(name, value, list))


_FIELD_READERS: dict[Any, Callable[[str, Any], Any]] = {
    "int": partial(_typed, kind=int),
    "str": partial(_typed, kind=str),
    "bool": partial(_typed, kind=bool),
    "bytes": lambda name, value: bytes.fromhex(_typed(name, value, str)),
    "State | None": lambda _, value: None if value is None else State(value),
    "tuple[int, ...]": partial(_tuple, kind=int),
    "tuple[str, ...]": partial(_tuple, kind=str),
}
"""The reader of each field type, by its annotation."""
