"""What a worker says of an attempt that did not complete its task, packed and read again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from rediq_trio._errors import PayloadError
from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.lifecycle import Transition
from rediq_trio.tasks.instants import instant
from rediq_trio.values.observed.attempt import Attempt, ErrorText
from rediq_trio.wire.envelope import unpack_value
from rediq_trio.wire.packing import pack

ENDED_BY: Mapping[str, str] = MappingProxyType(
    {
        Transition.FAIL: "failed",
        Transition.RECLAIM: "crashed",
        Transition.SNOOZE: "snoozed",
        Transition.RELEASE: "released",
    }
)
"""How an attempt ended, by the transition that ended it."""
TIMED_OUT = "timed out"


def pack_detail(error: ErrorText, *, timed_out: bool = False) -> bytes:
    """Pack what is kept of an attempt: a map, to which a newer version may add keys."""
    texts = {"type": error.type, "message": error.message, "traceback": error.traceback}
    detail: dict[str, object] = {
        name: text.encode("utf-8", "replace").decode() for name, text in texts.items() if text
    }
    return pack(detail | ({"timed_out": True} if timed_out else {}))


def error_of(packed: bytes) -> ErrorText | None:
    """Return the error in what `pack_detail` packed; None where nothing is kept."""
    if not packed:
        return None
    detail = cast("dict[str, Any]", unpack_value(packed, what="attempt"))
    texts = (_text(detail, name) or "" for name in ("type", "message", "traceback"))
    return ErrorText(*texts)


def make_attempt(stored: StoredAttempt) -> Attempt:
    """Return the `Attempt` of what is stored. What cannot be read is missing, with the reason."""
    detail: dict[str, Any] = {}
    unreadable = None
    if stored.detail:
        try:
            found = unpack_value(stored.detail, what="attempt")
            detail = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        except PayloadError as error:
            unreadable = str(error)
    outcome = ENDED_BY.get(stored.transition, stored.transition)
    return Attempt(
        number=stored.number,
        delivery=stored.delivery,
        worker=stored.worker,
        started_at=instant(stored.started_ms),
        ended_at=instant(stored.ended_ms),
        outcome=TIMED_OUT if detail.get("timed_out") is True else outcome,
        error_type=_text(detail, "type"),
        message=_text(detail, "message"),
        traceback=_text(detail, "traceback"),
        kind=stored.kind or None,
        unreadable=unreadable,
    )


def _text(detail: dict[str, Any], name: str) -> str | None:
    found = detail.get(name)
    return found if isinstance(found, str) else None
