"""Instants as people type them."""

from __future__ import annotations

import datetime as dt

from rediq_trio._errors import ConfigError
from rediq_trio.values.bounds import MAX_DELAY
from rediq_trio.values.chance import utc_now


def due_instant(field: str, text: str) -> dt.datetime:
    """Read an instant that is not past, and at most 1 year ahead; raise `ConfigError`."""
    found = future_instant(field, text)
    if found > utc_now() + dt.timedelta(seconds=MAX_DELAY):
        raise ConfigError.of(field, text, "at most 1 year (366 days) ahead")
    return found


def future_instant(field: str, text: str) -> dt.datetime:
    """Read an instant that is not past; raise `ConfigError`."""
    found = read_instant(field, text)
    if found < utc_now():
        raise ConfigError.of(field, text, "in the future; leave it out for now")
    return found


def read_instant(field: str, text: str) -> dt.datetime:
    """Read an instant of ISO 8601, with its offset; raise `ConfigError`."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError.of(field, text, "like 2026-12-24T18:00+01:00") from None
    if found.tzinfo is None:
        raise ConfigError.of(field, text, "an instant with its offset, like 2026-12-24T18:00Z")
    return found
