"""The time of this process, for what is said relative to it."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """Return the current instant."""
    return dt.datetime.now(dt.UTC)
