"""FailedAttempt: what a worker passes to those who report failures elsewhere, such as `rediq_trio.sentry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from rediq_trio.values.observed.attempt import ErrorText


@attrs.frozen(eq=False, kw_only=True)
class FailedAttempt:
    """An attempt that failed, at its end; or a task that is dead without one that failed."""

    id: str
    """`"<queue>/<id>"` of the task."""
    queue: str
    type: str
    attempt: int
    """Its number, from 1; of a task without one that failed, how many were counted."""
    max_retry: int
    worker: str
    """The name of the worker that made the attempt, or that found the task."""
    metadata: Mapping[str, str]
    """That of the task; empty if its envelope cannot be read."""
    final: bool
    """Whether the task goes to dead."""
    kind: str
    """The fingerprint of its failure; "" for a task that expired, or whose workers died."""
    text: ErrorText
    """The error as it is kept: as the app's `redact` left it."""
    error: BaseException | None
    """What was raised; None if nothing was, or if the app has `redact`, which only `text` obeys."""


FailureReporter = Callable[[FailedAttempt], None]
