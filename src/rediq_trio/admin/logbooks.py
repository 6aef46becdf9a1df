"""Reading the audit, and writing and reading marks."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.spec.history.logbook import LOGBOOK_SIZES, LinePlace, Logbook, LogLine
from rediq_trio.store.audit.acting import acting_in
from rediq_trio.store.audit.audited import NONCE_BYTES
from rediq_trio.store.audit.steps import BEGUN
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.instants import instant
from rediq_trio.tasks.task_info import UNREADABLE_TEXT
from rediq_trio.values.bounds import check_flag, check_number, check_text
from rediq_trio.values.chance import entropy
from rediq_trio.values.observed.audit import MARK_BY_MAX, MARK_MAX, AuditEntry, Mark
from rediq_trio.wire.envelope import pack_value, unpack_value

T = TypeVar("T")

_AFTER = re.compile(r"(\d{1,15})-(\d{1,15})", re.ASCII)
_TEXTS = ("who", "tool", "where", "what", "detail")
_OUTCOMES = ("done", "failed", "interrupted")


async def read_audit(
    store: Store, *, newest: bool, limit: int, after: AuditEntry | str | None
) -> tuple[AuditEntry, ...]:
    """Read entries; raise as `Client.audit` does."""
    check_flag("newest", newest)
    check_number("limit", limit, 1, BATCH, integer=True)
    place = None if after is None else _place_of(after)
    lines = await store.logged(Logbook.AUDIT, limit=limit, after=place, newest=newest)
    return tuple(map(_read_entry, lines))


def _place_of(after: object) -> LinePlace:
    ident = after.id if isinstance(after, AuditEntry) else after
    found = _AFTER.fullmatch(ident) if isinstance(ident, str) else None
    if found is None:
        raise ConfigError.of(
            "after", after, "an AuditEntry, or the id of one, like 1700000000000-0"
        )
    return int(found[1]), int(found[2])


def _read_entry(line: LogLine) -> AuditEntry:
    ms, number = line.place
    head: dict[str, Any] = {"id": f"{ms}-{number}", "at": instant(ms)}

    def read(fields: dict[str, Any]) -> AuditEntry:
        count, outcome = fields["count"], _OUTCOMES[_OUTCOMES.index(fields["outcome"])]
        texts: dict[str, Any] = {name: str(fields[name]) for name in _TEXTS}
        if (outcome, texts["detail"]) == ("done", BEGUN):
            outcome, texts["detail"] = BEGUN, ""  # stored so that older versions can read it
        return AuditEntry(
            **head,
            **texts,
            selection=MappingProxyType({str(k): str(v) for k, v in fields["selection"].items()}),
            count=None if count is None else int(count),
            outcome=outcome,
        )

    unreadable = AuditEntry(
        **head, who=UNREADABLE_TEXT, what=UNREADABLE_TEXT, outcome=UNREADABLE_TEXT
    )
    return _read(line, read, unreadable)


async def write_mark(store: Store, text: str, by: str) -> Mark:
    """Write a mark; raise as `Client.mark` does."""
    check_text("text", text, 1, MARK_MAX)
    check_text("by", by, 0, MARK_BY_MAX)
    acting = acting_in(store)
    if not by and acting is not None:
        by = acting.actor.who
    data = pack_value([by, text], what="mark")
    nonce = entropy(NONCE_BYTES)
    ms, _ = await store.log(Logbook.MARKS, nonce=nonce, data=data)
    return Mark(at=instant(ms), by=by, text=text)


async def read_marks(store: Store) -> tuple[Mark, ...]:
    """Read all marks, the newest first."""
    most = LOGBOOK_SIZES[Logbook.MARKS]
    lines = await store.logged(Logbook.MARKS, limit=most, newest=True)
    return tuple(map(_read_mark, lines))


def _read_mark(line: LogLine) -> Mark:
    at = instant(line.place[0])

    def read(fields: list[Any]) -> Mark:
        by, text = fields
        return Mark(at=at, by=str(by), text=str(text))

    return _read(line, read, Mark(at=at, by=UNREADABLE_TEXT, text=UNREADABLE_TEXT))


def _read(line: LogLine, read: Callable[[Any], T], unreadable: T) -> T:
    try:
        return read(unpack_value(line.data, what="line"))
    except (PayloadError, TypeError, ValueError, LookupError, AttributeError):
        return unreadable
