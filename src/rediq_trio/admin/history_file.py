"""Recordings: histories as lines of JSON, written from a store and read from a file.

A line that has `rediq_history` begins a recording: of one queue, or partition, with what
is set there. Each line behind it is one entry, with the fields that say something. A
recording goes on in a new one, with its own first line, where entries were cut away
while they were read.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Settings
from rediq_trio.spec.history.stream import numbers_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Limit
from rediq_trio.store.port import BATCH, Store

VERSION = 1
"""Of the format."""

_NUMBERS = {
    "begin": (0, 1), "flush": (0, 1), "pause": (1, 1), "resume": (1, 1), "arrange": (1, 1),
    "limit": (4, 4),
}  # fmt: skip
"""How many an entry of a queue has, before and after."""
_KEYS = {
    "number": "step", "transition": "event", "owns_unique_key": "holds",
    "run_on_dependency_failure": "lenient",
}  # fmt: skip
"""How fields are named in a file, where that is otherwise: version 1 of the format stays."""
_FIELDS = {_KEYS.get(name, name): field for name, field in attrs.fields_dict(Entry).items()}
_NEVER = 2**53
"""Above it a number is not one that a store has written."""


@attrs.frozen
class Recording:
    """The history of one queue, or the end of it."""

    queue: str
    settings: Settings
    entries: tuple[Entry, ...]

    @property
    def whole(self) -> bool:
        """Whether it knows every task: it begins when there was none."""
        return bool(self.entries) and (self.entries[0].transition, self.entries[0].after) == ("begin", (0,))


# --- writing


async def record_lines(store: Store, place: str) -> AsyncGenerator[str]:
    """Give the lines of what a store keeps of the history of a queue, or a partition."""
    # The settings first: what changes them from now on has an entry.
    queue = (await store.stats(place)).queue
    settings = Settings(queue.paused, queue.fair, await store.limits(place))
    last = -1
    while True:
        page = await store.history(place, after=max(last, 0), limit=BATCH)
        if last < 0 or (page and page[0].number != last + 1):
            yield _header(place, queue.history, settings)
        if not page:
            return
        for entry in page:
            yield json.dumps(_plain(entry), ensure_ascii=False)
        last = page[-1].number


def _header(place: str, kept: int, settings: Settings) -> str:
    limits = settings.limits or {}
    head = {
        "rediq_history": VERSION,
        "queue": place,
        "kept": kept,
        "paused": settings.paused,
        "fair": settings.fair,
        "limits": {key: numbers_of(limits[key]) for key in sorted(limits)},
    }
    return json.dumps(head, ensure_ascii=False)


def _plain(entry: Entry) -> dict[str, Any]:
    found = {key: getattr(entry, field.name) for key, field in _FIELDS.items()}
    said = {name: value for name, value in found.items() if value != _FIELDS[name].default}
    if entry.nonce:
        said["nonce"] = entry.nonce.hex()
    return said


# --- reading


def read_recordings(lines: Iterable[str]) -> Iterator[Recording]:
    """Read recordings; raise `ConfigError` that names the line which is not one."""
    head: Recording | None = None
    entries: list[Entry] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data: Any = json.loads(line)
            if not isinstance(data, dict):
                raise ValueError("no object")  # noqa: TRY004  (bad data, as any other)
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
            raise ConfigError(f"line {number} is no line of a history: {error}") from error
    if head is None:
        raise ConfigError(f"no history: nothing in {number} lines")
    yield attrs.evolve(head, entries=tuple(entries))


def _read_head(fields: Mapping[str, Any]) -> Recording:
    if fields["rediq_history"] != VERSION:
        raise ValueError(f"version {fields['rediq_history']!r}; this one reads version {VERSION}")
    limits = {
        _typed("limits", key, str): Limit(*_numbers("limits", numbers))
        for key, numbers in _typed("limits", fields.get("limits", {}), dict).items()
    }
    paused, fair = (
        _typed(name, fields.get(name), (bool, type(None))) for name in ("paused", "fair")
    )
    return Recording(
        _typed("queue", fields.get("queue"), str), Settings(paused, fair, limits), ()
    )


def _read_entry(fields: Mapping[str, Any]) -> Entry:
    if unknown := sorted(fields.keys() - _FIELDS.keys()):
        raise ValueError(f"there is no field {unknown[0]!r}")
    read = {
        _FIELDS[key].name: _READERS[_FIELDS[key].type](key, value) for key, value in fields.items()
    }
    entry = Entry(**read)
    if not entry.id and entry.transition in _NUMBERS:
        sizes = len(entry.before), len(entry.after)
        if sizes != _NUMBERS[entry.transition]:
            raise ValueError(f"a step {entry.transition!r} with {sizes[0]} and {sizes[1]} numbers")
    return entry


def _typed(name: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is {value!r}"[:80])
    if kind is int and not 0 <= value < _NEVER:
        raise ValueError(f"{name} is {value!r}"[:80])
    return value


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    return tuple(_typed(name, one, int) for one in _typed(name, value, list))


def _reader(kind: Any) -> Callable[[str, Any], Any]:
    return lambda name, value: _typed(name, value, kind)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_typed(name, one, str) for one in _typed(name, value, list))


def _state(name: str, value: Any) -> State | None:
    return None if value is None else State(value)


def _bytes(name: str, value: Any) -> bytes:
    return bytes.fromhex(_typed(name, value, str))


_READERS: dict[Any, Callable[[str, Any], Any]] = {
    "int": _reader(int),
    "str": _reader(str),
    "bool": _reader(bool),
    "bytes": _bytes,
    "State | None": _state,
    "tuple[int, ...]": _numbers,
    "tuple[str, ...]": _texts,
}
"""By the type of a field, as it is written."""
