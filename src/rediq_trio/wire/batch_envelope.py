"""A batch's envelope, read: what a script made of a group's members.

All texts in it are raw, as everything that Lua packs. Whoever reads one may meet
bytes that somebody else wrote, so each part is checked.
"""

from __future__ import annotations

from typing import Any, cast

import attrs

from rediq_trio._errors import PayloadError, shown
from rediq_trio.spec.groups import BATCH_VERSION
from rediq_trio.spec.ids import unpack_id
from rediq_trio.wire.envelope import Envelope, open_envelope
from rediq_trio.wire.packing import UNREADABLE, unpack

_BEGINNING = bytes([0x93, BATCH_VERSION])
_UNFIT: tuple[type[Exception], ...] = (*UNREADABLE, AttributeError)
_KINDS = [bytes, bytes, int, int, int, int]


@attrs.frozen
class Member:
    """One task of a batch, as it was in its group."""

    id: str
    envelope: bytes
    priority: int
    max_retry: int
    max_crashes: int
    retention_ms: int

    def open(self) -> Envelope:
        """Open its envelope; raise `PayloadError` naming the member when it cannot be read."""
        try:
            return open_envelope(self.envelope)
        except PayloadError as error:
            raise type(error)(f"member {self.id}: {error}") from error


@attrs.frozen
class Batch:
    """A group's name and members, at least one."""

    group: str
    members: tuple[Member, ...]


def is_batch(packed: bytes) -> bool:
    """Say whether an envelope is that of a batch."""
    return packed[:2] == _BEGINNING


def open_batch(packed: bytes) -> Batch:
    """Read a batch; raise `PayloadError` for one that cannot be read."""
    try:
        parts: Any = unpack(packed, texts=False)
        _, group, members = parts
        return Batch(group.decode(), tuple(map(_member, members or [None])))
    except _UNFIT as error:
        raise PayloadError(f"batch cannot be decoded: {shown(str(error))}") from error


def _member(parts: Any) -> Member:
    fields = cast("list[Any]", parts) if isinstance(parts, list) else []
    if [type(field) for field in fields] != _KINDS:
        raise ValueError("a member is not as it should be")
    return Member(unpack_id(fields[0]), *fields[1:])
