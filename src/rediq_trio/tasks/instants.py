"""Instants of a store, in milliseconds, as aware datetimes."""

from __future__ import annotations

import datetime as dt


def instant(ms: int) -> dt.datetime:
    """Return the aware datetime of an instant in milliseconds."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC)


def instant_or_none(ms: int) -> dt.datetime | None:
    """Return the aware datetime of an instant in milliseconds; None for 0."""
    return instant(ms) if ms else None
