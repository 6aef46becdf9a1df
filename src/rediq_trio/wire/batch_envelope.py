"""Reading the envelope of a batch, which a script made of a group's members.

All texts in it are raw, like everything that Lua packs. Anyone may have written to Redis, so
each part is checked.
"""

from __future__ import annotations

from typing import Any, cast

from rediq_trio._errors import PayloadError, quote
from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.ids import unpack_id
from rediq_trio.spec.stored_format import BATCH_VERSION, MEMBER_FIELDS
from rediq_trio.wire.envelope import Envelope, open_envelope
from rediq_trio.wire.packing import UNPACK_ERRORS, fields_of, unpack

_BATCH_PREFIX = bytes([0x93, BATCH_VERSION])
_BATCH_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, AttributeError)
_MEMBER_TYPES = [bytes, bytes, int, int, int, int]


def is_batch(packed: bytes) -> bool:
    """Return whether an envelope is that of a batch."""
    return packed[:2] == _BATCH_PREFIX


def batch_of(envelope: bytes | BatchEnvelope) -> BatchEnvelope | None:
    """Return the batch that a task carries, None for any other; raise `PayloadError` for a broken one."""
    if isinstance(envelope, BatchEnvelope):
        return envelope
    return open_batch(envelope) if is_batch(envelope) else None


def read_envelope(packed: bytes) -> bytes | BatchEnvelope:
    """Return an envelope as a queue knows it: a batch is opened unless it is broken."""
    if not is_batch(packed):
        return packed
    try:
        return open_batch(packed)
    except PayloadError:
        return packed  # whoever opens it next says so


def type_in(envelope: bytes | BatchEnvelope) -> str | None:
    """Return the type in an envelope, of a batch that of its first member; None if it cannot be read."""
    try:
        batch = batch_of(envelope)
        packed = batch.members[0].envelope if batch else envelope
        return open_envelope(packed).type if isinstance(packed, bytes) else None
    except PayloadError:
        return None


def size_of(envelope: bytes | BatchEnvelope) -> int:
    """Return about how many bytes an envelope has."""
    if isinstance(envelope, BatchEnvelope):
        return sum(len(member.envelope) for member in envelope.members)
    return len(envelope)


def open_member(member: BatchMember) -> Envelope:
    """Return the opened envelope of a member; raise `PayloadError` that names it if it cannot."""
    try:
        return open_envelope(member.envelope)
    except PayloadError as error:
        raise type(error)(f"member {member.id}: {error}") from error


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
    found = fields_of(MEMBER_FIELDS, fields)
    found["id"] = unpack_id(found["id"])
    return BatchMember(**found)
