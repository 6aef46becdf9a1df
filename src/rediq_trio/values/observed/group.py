"""GroupInfo: a group whose members wait to become a batch."""

from __future__ import annotations

import datetime as dt

import attrs


@attrs.frozen(kw_only=True)
class GroupInfo:
    """A group that has members, when it was read."""

    name: str
    queue: str
    """Its queue, with the partition where there are some."""
    size: int
    """How many tasks wait in it."""
    due_at: dt.datetime | None
    """When it becomes a batch if no member comes; None if it is full, and does so at once."""
    max_size: int
    """Members of a batch, at most."""
    grace: float
    """Seconds that it waits after its newest member."""
    max_delay: float
    """Seconds that it waits after its oldest member, at most."""
    has_rule: bool
    """Whether an aggregator has set these three; if not, they are the defaults."""
