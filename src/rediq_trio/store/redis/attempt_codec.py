"""Read what is stored of a task's attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.stored_format import ATTEMPT_FIELDS
from rediq_trio.wire.packing import UNPACK_ERRORS, fields_of, text_of, unpack

_ATTEMPT_KINDS = [
    bytes if name in ("worker", "transition", "detail", "kind") else int for name in ATTEMPT_FIELDS
]
_DETAIL = ATTEMPT_FIELDS.index("detail")


def read_attempts(packed: bytes, created_ms: int) -> tuple[StoredAttempt, ...]:
    """Read the attempts of a task that was enqueued at an instant, without what cannot be decoded.

    A version that knows no attempts leaves those of the tasks that it removes. They would show up in a
    new task of the same id, so what began before the task was enqueued is left out.
    """
    if not packed:
        return ()
    return tuple(each for each in _read(packed) if each.started_ms >= created_ms)


def _read(packed: bytes) -> Iterator[StoredAttempt]:
    try:
        found = unpack(packed, texts=False)
    except UNPACK_ERRORS:
        return
    before: Any = None
    for each in cast("list[Any]", found) if isinstance(found, list) else ():
        values = cast("list[Any]", each) if isinstance(each, list) else []
        if len(values) == len(_ATTEMPT_KINDS) - 1:
            values.append(b"")  # it did not fail, or an older version wrote it
        if len(values) > _DETAIL and values[_DETAIL] is True:
            values[_DETAIL] = before
        before = values[_DETAIL] if len(values) > _DETAIL else None
        if [type(value) for value in values[: len(_ATTEMPT_KINDS)]] != _ATTEMPT_KINDS:
            continue
        fields = fields_of(ATTEMPT_FIELDS, values, strict=False)
        fields |= {name: text_of(fields[name]) for name in ("worker", "transition", "kind")}
        yield StoredAttempt(**fields)
