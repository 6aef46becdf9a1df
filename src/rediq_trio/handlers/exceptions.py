"""Exceptions that a handler raises to choose how its attempt ends."""

from __future__ import annotations

from rediq_trio.values.bounds import (
    MAX_DELAY,
    Duration,
    check_seconds,
    to_seconds,
    to_seconds_or_none,
)


class Retry(Exception):
    """Fail this attempt, and choose when the next one starts.

    `after` is in seconds or a timedelta, 0 to 1 year; None uses the task's backoff. The attempt is
    charged: if it was the last one, the task is dead.
    """

    def __init__(self, after: Duration | None = None) -> None:
        after = to_seconds_or_none(after)
        if after is not None:
            check_seconds("after", after, 0, MAX_DELAY)
        super().__init__("the handler asked for a retry")
        self.after = after


class Reject(Exception):
    """Make the task dead at once, even if attempts are left."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Snooze(Exception):
    """Run the task again in `seconds` (0 to 1 year) without using an attempt."""

    def __init__(self, seconds: Duration) -> None:
        seconds = to_seconds(seconds)
        check_seconds("seconds", seconds, 0, MAX_DELAY)
        super().__init__(f"snoozed for {seconds:g} s")
        self.seconds = seconds
