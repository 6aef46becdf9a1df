"""Task files: tasks as lines of JSON, written from a selection and enqueued again from a file.

The first line has `rediq_tasks`, the version of the format, and says what was exported. Each line
after it is one task, as options of `Task`, with what is known `about` it for people. The last line
has `end`, the number of tasks, so a file that was cut is found out. With keys, each task is one
encrypted text instead. What JSON lacks is written as an object with one key: `$bytes`, `$float`, or
`$map` for a mapping whose keys are not all texts, or begin with `$`.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Until
from rediq_trio.spec.records import Record
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.encrypted.store import HashedKey
from rediq_trio.tasks.changes.versions import options_of
from rediq_trio.tasks.instants import instant
from rediq_trio.values.backoff import DEFAULT_BACKOFF, decode_backoff, encode_backoff
from rediq_trio.values.task import Task
from rediq_trio.values.unset import UnsetFloat, UnsetInt
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.encrypted_error import shown_error
from rediq_trio.wire.envelope import open_envelope, unpack_value

TASK_FILE_VERSION = 1
"""Version of the file format."""

_BAD_LINE: tuple[type[Exception], ...] = (
    ValueError, TypeError, LookupError, AttributeError, RecursionError, PayloadError
)  # fmt: skip
_INSTANTS = ("run_at", "expires", "deadline")
_OPTIONS = {
    "id", "type", "payload", "priority", "max_retry", "max_crashes", "timeout", "backoff", "retention",
    "metadata", "limit_key", "group", *_INSTANTS,
}  # fmt: skip
_KNOWN = _OPTIONS | {"unique", "about"}


@attrs.frozen
class ReadTask:
    """A task of a file, to be enqueued again."""

    task: Task[Any]
    unique: str = ""
    """Its unique key; a `HashedKey` if it was read of an encrypted queue."""
    until: Until = Until.DONE


class TaskFile:
    """Writes and reads the lines of a file for one queue."""

    def __init__(self, queue: str, encryption: Encryption | None) -> None:
        self._queue = queue
        self._encryption = encryption

    def head(self, state: State, at: str) -> str:
        """Return the first line."""
        found = {"rediq_tasks": TASK_FILE_VERSION, "queue": self._queue, "state": state.value}
        return _line(found | {"at": at, "encrypted": self._encryption is not None})

    def end(self, count: int) -> str:
        """Return the last line."""
        return _line({"end": count})

    def lines(self, partition: str, record: Record) -> Iterator[str]:
        """Return the line of a task; of a batch, one for each member.

        Raises `PayloadError` for a task that this process cannot read.
        """
        try:
            for fields in _fields_of(record):
                yield self._encrypted(_line(fields))
        except PayloadError as error:
            raise PayloadError(f"{partition}/{record.id} cannot be exported: {error}") from error

    def _encrypted(self, line: str) -> str:
        if self._encryption is None:
            return line
        ciphertext = self._encryption.encrypt(line.encode(), "task file", self._queue)
        return _line({"ciphertext": base64.b64encode(ciphertext).decode()})

    def read(self, lines: Iterable[str]) -> Iterator[ReadTask]:
        """Read the tasks of a file; raise `ConfigError` that names the first bad line."""
        count = number = 0
        ended = False
        for number, line in enumerate(lines, start=1):
            try:
                fields = _object(line)
                if number == 1:
                    self._check_head(fields)
                elif ended:
                    raise ValueError("it comes after the end")
                elif "end" in fields:
                    ended = True
                    if fields["end"] != count:
                        raise ValueError(f"{count} tasks come before it, not {fields['end']!r}")
                else:
                    count += 1
                    yield _read_task(self._opened(fields), self._queue)
            except _BAD_LINE as error:
                raise ConfigError(f"line {number} is not a line of a task file: {error}") from error
        if not ended:
            raise ConfigError(f"the task file was cut: its {number} lines have no end")

    def _check_head(self, fields: Mapping[str, Any]) -> None:
        version = fields.get("rediq_tasks")
        if version != TASK_FILE_VERSION or isinstance(version, bool):
            raise ValueError(f"rediq_tasks is {version!r}; this one reads {TASK_FILE_VERSION}")
        if fields.get("encrypted") and fields.get("queue") != self._queue:
            raise ValueError(f"it is encrypted for the queue {fields.get('queue')!r}")

    def _opened(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if "ciphertext" not in fields:
            return fields
        if self._encryption is None:
            raise ValueError("the task is encrypted, and this process has no keys")
        ciphertext = base64.b64decode(str(fields["ciphertext"]), validate=True)
        return _object(self._encryption.decrypt(ciphertext, "task file", self._queue).decode())


def _line(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n"


def _object(line: str) -> Mapping[str, Any]:
    found: Any = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  (bad data, as any other)
    return cast("dict[str, Any]", found)


def _fields_of(record: Record) -> Iterator[dict[str, Any]]:
    if not isinstance(record.envelope, BatchEnvelope):
        yield _fields(record, record.id, record.envelope)
        return
    for member in record.envelope.members:
        yield _fields(record, member.id, member.envelope) | {"group": record.envelope.group}


def _fields(record: Record, task_id: str, packed: bytes) -> dict[str, Any]:
    envelope = open_envelope(packed)
    fields: dict[str, Any] = {
        "id": task_id, "type": envelope.type, "payload": to_json(unpack_value(envelope.payload)),
    }  # fmt: skip
    for name, value in options_of(record, envelope).items():
        if type(value) in (UnsetFloat, UnsetInt) or value is DEFAULT_BACKOFF or value == {}:
            continue
        fields[name] = to_json(encode_backoff(value) if name == "backoff" else value)
    if record.limit_key:
        fields["limit_key"] = record.limit_key
    if record.group:
        fields["group"] = record.group
    if record.unique and record.until is not Until.EXPIRED:
        hashed = isinstance(record.unique, HashedKey)
        fields["unique"] = [str(record.unique), record.until.name.lower(), hashed]
    if not record.terminal:
        ends = deadline_ms(record, envelope.deadline_ms)
        due = record.run_ms if record.state in (State.SCHEDULED, State.RETRY) else 0
        for name, at in zip(_INSTANTS, (due, record.expires_ms, ends), strict=True):
            if at:
                fields[name] = instant(at).isoformat()
    fields["about"] = {
        "error": shown_error(record.error), "attempt": record.attempt,
        "created_at": instant(record.created_ms).isoformat(),
    }  # fmt: skip
    return fields


def _read_task(fields: Mapping[str, Any], queue: str) -> ReadTask:
    if unknown := sorted(fields.keys() - _KNOWN):
        raise ValueError(f"there is no field {unknown[0]!r}")
    options = {name: value for name, value in fields.items() if name in _OPTIONS}
    for name in _INSTANTS:
        if name in options:
            options[name] = dt.datetime.fromisoformat(options[name])
    if "backoff" in options:
        options["backoff"] = decode_backoff(from_json(options["backoff"]))
    for name in ("payload", "timeout", "retention"):
        if name in options:
            options[name] = from_json(options[name])
    if not isinstance(options.get("id"), str):
        raise ValueError("it has no id")  # noqa: TRY004  (bad data, as any other)
    if "unique" not in fields:
        return ReadTask(Task(**options, queue=queue))
    key, until, hashed = fields["unique"]
    unique = HashedKey(key) if hashed else str(key)
    return ReadTask(Task(**options, queue=queue), unique, Until[until.upper()])


def to_json(value: Any) -> Any:
    """Return plain data of msgpack as plain data of JSON."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        pairs = [(k, to_json(v)) for k, v in cast("Mapping[Any, Any]", value).items()]
        if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return dict(pairs)
        return {"$map": [[to_json(key), each] for key, each in pairs]}
    return value


def from_json(value: Any) -> Any:
    """Return what `to_json` was given; raise `ValueError` for what it does not make."""
    if isinstance(value, list):
        return [from_json(each) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    if len(found) == 1:
        ((name, inner),) = found.items()
        if name == "$bytes" and isinstance(inner, str):
            return base64.b64decode(inner, validate=True)
        if name == "$float" and inner in ("nan", "inf", "-inf"):
            return float(inner)
        if name == "$map" and isinstance(inner, list):
            pairs = cast("list[Any]", inner)
            return {from_json(key): from_json(each) for key, each in pairs}
    if strange := [key for key in found if key.startswith("$")]:
        raise ValueError(f"there is no {strange[0]!r}")
    return {key: from_json(each) for key, each in found.items()}
