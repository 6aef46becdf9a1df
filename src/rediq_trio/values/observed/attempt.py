"""Attempt: what is kept of an attempt that did not complete its task; ErrorText: of its error."""

from __future__ import annotations

import datetime as dt

import attrs
from attrs.validators import instance_of


@attrs.frozen
class ErrorText:
    """What is kept of an error. `App(redact=...)` gets one and returns one."""

    type: str = attrs.field(validator=instance_of(str))
    """The name of the exception's type; empty if no exception was raised, as after a timeout."""
    message: str = attrs.field(validator=instance_of(str))
    """Its message, with those of its causes and of the members of a group."""
    traceback: str = attrs.field(default="", validator=instance_of(str), repr=False)
    """Where it was raised, several lines; empty if that is not known."""


@attrs.frozen(kw_only=True)
class Attempt:
    """An attempt that did not complete its task."""

    number: int
    """Which attempt it was, counted from 1. One that was not charged (`crashed`, `snoozed`, `released`)
    has the number of the next one."""
    delivery: int
    """Which delivery of the task it was, counted from 1."""
    worker: str
    """The id of the worker that made it."""
    started_at: dt.datetime
    """When the task was claimed for it."""
    ended_at: dt.datetime
    """When its end was stored; of a crash, when it was found."""
    outcome: str
    """`failed`; `timed out`, by its timeout or the task's deadline; `crashed`, because its lease ran out;
    `snoozed`; or `released`, because its worker stopped. A newer version may have others."""
    error_type: str | None = None
    """The name of the exception's type; None if no exception was raised."""
    message: str | None = None
    """What went wrong, at most 2,000 bytes; None if there is nothing to say."""
    traceback: str | None = attrs.field(default=None, repr=False)
    """Where the exception was raised, or the timeout stopped the handler; at most 8 KB."""
    kind: str | None = None
    """The kind of its failure, see `Queue.failures`; None if it did not fail, or if an older worker
    made it."""
    unreadable: str | None = None
    """Why type, message and traceback are missing, such as encrypted without the key; None if they
    were read."""
