"""Reading the envelope of a batch, which a script made of a group's members.

All texts in it are raw, like everything that Lua packs. Anyone may have written to Redis, so
each part is checked.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from rediq_trio._errors import PayloadError, quote
from rediq_trio.spec.groups import BATCH_VERSION
from rediq_trio.spec.ids import unpack_id
from rediq_trio.wire.envelope import Envelope, open_envelope
from rediq_trio.wire.packing import UNPACK_ERRORS, unpack

_BATCH_PREFIX = bytes([0x93, BATCH_VERSION])
_BATCH_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, AttributeError)
_MEMBER_TYPES = [bytes, bytes, int, int, int, int]


@attrs.frozen
class BatchMember:
    """One member of a batch, as it was in its group."""

    id: str
    envelope: bytes
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int

    def open(self) -> Envelope:
        """Return its opened envelope; raise `PayloadError` that names the member if it cannot."""
        try:
            return open_envelope(self.envelope)
        except PayloadError as error:
            raise type(error)(f"member {self.id}: {error}") from error


@attrs.frozen
class BatchEnvelope:
    """A group's name and its members, at least one."""

    group: str
    members: tuple[BatchMember, ...]


def is_batch(packed: bytes) -> bool:
    """Return whether an envelope is that of a batch."""
    return packed[:2] == _BATCH_PREFIX


def open_batch(packed: bytes) -> BatchEnvelope:
    """Return an opened batch; raise `PayloadError` if it cannot be read."""
    try:
        parts: Any = unpack(packed, texts=False)
        _, group, members = parts
        return BatchEnvelope(group.decode(), tuple(map(_member, members or [None])))
    except _BATCH_ERRORS as error:
        raise PayloadError(f"batch cannot be decoded: {quote(str(error))}") from error


def _member(parts: Any) -> BatchMember:
    fields = cast("list[Any]", parts) if isinstance(parts, list) else []
    if [type(field) for field in fields] != _MEMBER_TYPES:
        raise ValueError("a member has the wrong fields")
    return BatchMember(unpack_id(fields[0]), *fields[1:])
