"""The payload and the options of a task, from its record and its envelope, as `TaskInfo` shows them."""

from __future__ import annotations

from typing import Any, Literal

from rediq_trio._errors import PayloadError
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.messages import Until
from rediq_trio.spec.records import Record
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.values.observed.related import UniqueKey
from rediq_trio.values.unset import UnsetFloat
from rediq_trio.wire.batch_envelope import open_member, size_of
from rediq_trio.wire.envelope import Envelope, unpack_value

UntilWord = Literal["done", "started", "expired"]
UNTIL_WORDS: dict[Until, UntilWord] = {
    Until.DONE: "done",
    Until.STARTED: "started",
    Until.EXPIRED: "expired",
}


def payload_of(batch: BatchEnvelope | None, envelope: Envelope, unreadable: str) -> dict[str, Any]:
    """Return the payload, and why it is missing, by the names of the fields of `TaskInfo`."""
    if unreadable and batch is None:
        return {"payload_missing": unreadable}
    try:
        if batch is None:
            return {"payload": unpack_value(envelope.payload)}
        members = map(open_member, batch.members)
        return {"payload": [unpack_value(member.payload) for member in members]}
    except PayloadError as error:
        return {"payload_missing": str(error)}


def options_of(record: Record, envelope: Envelope) -> dict[str, Any]:
    """Return the options that a record and its envelope have, by the names of `TaskInfo`'s fields."""
    unset = type(envelope.timeout) is UnsetFloat
    return {
        "timeout": None if unset else envelope.timeout,
        "backoff": None if envelope.backoff is DEFAULT_BACKOFF else envelope.backoff,
        "retention": _retention(record.retention_ms),
        "max_crashes": record.max_crashes,
        "snoozes": record.snoozes,
        "on_dependency_failure": "run" if record.run_on_dependency_failure else "dead",
        "limit_key": record.limit_key or None,
        "unique": unique_of(record),
        "steps": tuple(name for name, _ in record.steps),
        "size": size_of_task(record),
    }


def _retention(ms: int) -> float | None:
    # A retention that was set to what means unset is stored as one more.
    if ms == UNSET_RETENTION_MS:
        return None
    return (ms - 1 if ms == UNSET_RETENTION_MS + 1 else ms) / 1000


def unique_of(record: Record) -> UniqueKey | None:
    """Return the unique key of a task as its record alone shows it."""
    if not record.unique:
        return None
    return UniqueKey(record.unique, UNTIL_WORDS[record.until], record.owns_unique_key)


def size_of_task(record: Record) -> int:
    """Return the bytes of what is stored of a task beside the fixed fields of its record."""
    kept = (*record.steps, *record.inputs)
    pairs = sum(len(name.encode()) + len(value) for name, value in kept)
    return size_of(record.envelope) + len(record.result) + len(record.progress) + pairs
