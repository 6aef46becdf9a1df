"""FailureKind: failures of a queue that are alike, as users read them."""

from __future__ import annotations

import datetime as dt

import attrs


@attrs.frozen(kw_only=True)
class FailureKind:
    """Failed attempts of a queue that are alike: of one task type, error, place and message."""

    kind: str
    """Its fingerprint, 12 characters; `Queue.dead.list(kind=...)` takes it."""
    count: int
    """How many attempts have failed so, those that were retried included."""
    first_seen: dt.datetime
    last_seen: dt.datetime
    type: str | None
    """The type of the tasks."""
    error_type: str | None
    """The name of the exception's type; None if no exception was raised, as after a timeout."""
    message: str | None
    """The message of the first of them, at most 400 bytes; None if there is nothing to say."""
    place: str | None
    """The innermost function of the user's code in the traceback, `"shop.cards:charge"`; None if it
    is not known."""
    task_ids: tuple[str, ...] = attrs.field(repr=False)
    """The tasks that failed so last, at most 5, the newest first; some may be gone by now."""
    hours: tuple[int, ...] = ()
    """How many failed in the hour of `last_seen`, as clocks in UTC have hours, and in each hour before it,
    at most 24. Nothing is known of hours that are missing though the kind was seen: an older version
    counted."""
    unreadable: str | None = None
    """Why `type`, `error_type`, `message` and `place` are missing, such as encrypted without the key;
    None if they were read."""
