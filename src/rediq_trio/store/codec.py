"""Records as bytes, to and from Redis. `lua/include/record.lua` holds the same order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rediq_trio.spec.invariants import Picture
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.records import NewTask, Record
from rediq_trio.store.packing import pack, unpack

STATES = tuple(State)
CODE_OF = {state: code for code, state in enumerate(STATES, start=1)}
_STATE_OF = {code: state for state, code in CODE_OF.items()}

RECORD_FIELDS = (
    "state", "priority", "max_retry", "max_crashes", "retention_ms",
    "created_ms", "run_ms", "expires_ms", "seq", "attempt",
    "deliveries", "crashes", "snoozes", "nonce", "worker",
    "cancel", "waited", "started_ms", "finished_ms", "error",
)  # fmt: skip
"""The fields of a record's msgpack array, in order."""
_KINDS = [bytes if field in ("nonce", "worker", "error") else int for field in RECORD_FIELDS]

_INSPECT_ORDER = (
    State.PENDING, State.SCHEDULED, State.RETRY, State.ACTIVE,
    State.COMPLETED, State.DEAD, State.CANCELLED,
)  # fmt: skip
"""The indexes whose scores `inspect.lua` gives, in order, behind that of `expiring`."""


def state_of(code: int) -> State | None:
    """Give the state of a script's answer; None for 0."""
    return STATES[code - 1] if code else None


def pack_options(task: NewTask) -> bytes:
    """Pack what `enqueue.lua` reads of a new task."""
    options = (
        task.priority, task.max_retry, task.max_crashes, task.retention_ms,
        task.delay_ms, task.run_at_ms, task.expires_in_ms, task.expires_at_ms,
    )  # fmt: skip
    return pack(options)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def decode_picture(task_id: str, reply: Sequence[bytes]) -> Picture:
    """Decode one answer of `inspect.lua`; a record that cannot be decoded counts as missing."""
    raw, envelope, result, progress, expiring, *scores = reply
    indexes = {
        state: round(float(score))
        for state, score in zip(_INSPECT_ORDER, scores, strict=True)
        if score
    }
    record = None
    if raw:
        extras: dict[str, Any] = {"envelope": envelope, "result": result, "progress": progress}
        record = _decode_record(task_id, raw, indexes, extras)
    return Picture(
        id=task_id,
        record=record,
        indexes=indexes,
        expiring=round(float(expiring)) if expiring else None,
        has_envelope=bool(envelope) or (record is not None and record.state not in WAITING),
    )


def _decode_record(
    task_id: str, raw: bytes, indexes: dict[State, int], extras: dict[str, Any]
) -> Record | None:
    try:
        values: list[Any] = unpack(raw, texts=False)
        if [type(value) for value in values] != _KINDS:
            return None
        fields: dict[str, Any] = dict(zip(RECORD_FIELDS, values, strict=True))
        fields["state"] = _STATE_OF[fields["state"]]
        fields["worker"], fields["error"] = _text(fields["worker"]), _text(fields["error"])
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError):
        return None
    state: State = fields["state"]
    at = indexes.get(state, 0)
    fields |= {"cancel": bool(fields["cancel"]), "waited": bool(fields["waited"])}
    fields["lease_ms"] = at if state is State.ACTIVE else 0
    fields["purge_ms"] = at if state in (State.COMPLETED, State.CANCELLED) else 0
    return Record(id=task_id, **extras, **fields)
