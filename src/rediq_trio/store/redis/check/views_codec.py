"""What the bytes of a check's pictures mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from rediq_trio.spec.check.views import CONTENTS, Kind, LetterPicture, Picture, Subject
from rediq_trio.spec.ids import unpack_id
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.records import Ending, GroupRule, Limit, Mail, Record
from rediq_trio.store.redis.codec import (
    read_ending,
    read_limit,
    read_mail,
    read_record,
    read_rule,
)
from rediq_trio.store.redis.record_format import newer_record
from rediq_trio.wire.packing import UNREADABLE, unpack

_INDEXES = (
    State.SCHEDULED, State.BLOCKED, State.PENDING, State.ACTIVE, State.RETRY,
    State.COMPLETED, State.DEAD, State.CANCELLED,
)  # fmt: skip
"""The indexes whose scores `examine.lua` gives, in order, behind that of `expiring`."""
_BAD: tuple[type[Exception], ...] = (*UNREADABLE, LookupError, AttributeError)
"""What reading damaged bytes may raise."""


def score_of(text: bytes) -> int | None:
    """Give a score as a whole number; None for none."""
    return round(float(text)) if text else None


def number_of(text: bytes) -> int | None:
    """Give a number; None for none, -1 for what is no number."""
    try:
        return int(text) if text else None
    except ValueError:
        return -1


def record_of(task_id: str, raw: bytes) -> Record | None:
    """Give a record; None for one that is missing, or cannot be decoded."""
    return read_record(task_id, raw) if raw else None


def picture_of(task_id: str, reply: Sequence[Any]) -> Picture:
    """Give the picture of a task from an answer of `examine.lua`."""
    raw, envelope, *rest = reply
    lengths, (expiring, *rest) = rest[: len(CONTENTS)], rest[len(CONTENTS) :]
    scores, (group, key, needs, holder) = rest[: len(_INDEXES)], rest[len(_INDEXES) :]
    indexes = {
        state: at
        for state, score in zip(_INDEXES, scores, strict=True)
        if (at := score_of(score)) is not None
    }
    if group:
        indexes[State.GROUPED] = int(group)
    if key:
        # Listed in both: at a place that no task has.
        indexes[State.PENDING] = -1 if State.PENDING in indexes else int(key)
    record = read_record(task_id, raw, indexes) if raw else None
    newer = newer_record(raw) if raw and record is None else 0
    return Picture(
        id=task_id,
        record=record,
        indexes=indexes,
        expiring=score_of(expiring),
        has_envelope=bool(envelope) or (record is not None and record.state not in WAITING),
        needs=needs,
        holder=unpack_id(holder) if holder else None,
        kept=frozenset(name for name, size in zip(CONTENTS, lengths, strict=True) if size),
        unreadable=bool(raw) and record is None and not newer,
        newer=newer,
    )


def limit_of(packed: bytes) -> Limit | None:
    """Give a limit; None for one that cannot be read."""
    try:
        limit = read_limit(packed)
    except _BAD:
        return None
    fields = attrs.astuple(limit)
    return limit if all(type(n) is int and n >= 0 for n in fields) and limit.burst else None


def rule_of(packed: bytes) -> GroupRule | None:
    """Give a group's rule; None for one that cannot be read."""
    try:
        rule = read_rule(packed)
    except _BAD:
        return None
    return rule if all(type(n) is int and n >= 0 for n in attrs.astuple(rule)) else None


def letter_of(subject: Subject, last: int, members: Sequence[bytes]) -> LetterPicture:
    """Give what is there by a number of the outbox or of the endings, or of a sender."""
    items: list[Mail | Ending | int | None] = []
    numbers: list[int] = []
    for member in members:
        item, number = _letter_item(subject.kind, member)
        items.append(item)
        numbers.append(number)
    if subject.kind is Kind.SENDER:
        last = max(numbers, default=0)
    return LetterPicture(subject, last, tuple(items), tuple(numbers))


def _letter_item(kind: Kind, member: bytes) -> tuple[Mail | Ending | int | None, int]:
    try:
        if kind is Kind.SENDER:
            return int(member), int(member)
        if kind is Kind.MESSAGE:
            mail = read_mail(member)
            return mail, int(mail.seq)
        return read_ending(member), int(unpack(member, texts=False)[0])
    except _BAD:
        return None, -1
