"""Read what is stored of the kinds of failure of a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from rediq_trio.spec.history.kinds import StoredKind
from rediq_trio.spec.ids import unpack_id
from rediq_trio.spec.stored_format import KIND_FIELDS
from rediq_trio.wire.packing import UNPACK_ERRORS, fields_of, text_of, unpack

_KIND_TYPES = [int, int, bytes, list]


def read_kinds(reply: Sequence[Any]) -> Mapping[str, StoredKind]:
    """Read an answer of `failure_kinds.lua`, without what cannot be decoded."""
    found: dict[str, StoredKind] = {}
    seen, stored_kinds = reply or ((), ())
    for kind, last, packed in zip(seen[::2], seen[1::2], stored_kinds, strict=True):
        if (stored := _read(packed, round(float(last)))) is not None:
            found[text_of(kind)] = stored
    return MappingProxyType(found)


def _read(packed: bytes, last_ms: int) -> StoredKind | None:
    try:
        values: Any = unpack(packed, texts=False)
    except UNPACK_ERRORS:
        return None
    values = cast("list[Any]", values) if isinstance(values, list) else []
    if [type(value) for value in values[: len(_KIND_TYPES)]] != _KIND_TYPES:
        return None
    fields = fields_of(KIND_FIELDS, values, strict=False)
    ids = cast("list[Any]", fields["ids"])
    fields["ids"] = tuple(unpack_id(each) for each in ids if isinstance(each, bytes))
    fields["hours"] = _read_hours(fields.get("hours"))
    return StoredKind(**fields, last_ms=last_ms)


def _read_hours(value: Any) -> tuple[int, ...]:
    numbers = cast("list[Any]", value) if isinstance(value, list) else []
    sound = len(numbers) > 1 and all(type(each) is int for each in numbers)
    return tuple(numbers) if sound else ()
