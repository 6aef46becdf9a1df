"""The exit statuses of the command line, and the error for what is not there."""

from __future__ import annotations

from rediq_trio._errors import RediqError

DONE = 0
FAILED = 1
"""It failed, or found something: an alert, a violation."""
MISUSED = 2
"""An argument or a setting is wrong. Nothing was changed."""
NOT_THERE = 3
"""There is no such task, queue, workflow, worker or schedule."""
INTERRUPTED = 130
"""After SIGINT: 128 and the signal's number, as shells have it."""


class NotThere(RediqError):
    """What the command is about is not there; the text says what there is."""
