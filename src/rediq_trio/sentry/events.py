"""A failed attempt as an event of Sentry."""

from __future__ import annotations

import re
from typing import Any

import sentry_sdk
from sentry_sdk.utils import event_from_exception

from rediq_trio.handlers.failed_attempt import FailedAttempt
from rediq_trio.observe.words import shown

TAG_MAX = 200
"""Characters that Sentry takes of the value of a tag."""


def event_of(failed: FailedAttempt) -> tuple[Any, Any]:
    """Return the event of a failed attempt, with its hint.

    Without the exception itself, it has only the texts that are kept of it.
    """
    mechanism = {"type": "rediq", "handled": not failed.final}
    event: Any
    hint: Any
    if failed.error is not None:
        options = sentry_sdk.get_client().options
        event, hint = event_from_exception(
            failed.error, client_options=options, mechanism=mechanism
        )
    else:
        value = {
            "type": failed.text.type or "Failed",
            "value": failed.text.message,
            "mechanism": mechanism,
        }
        event, hint = {"exception": {"values": [value]}}, {}
        if failed.text.traceback:
            event["extra"] = {"traceback": failed.text.traceback}
    event["level"] = "error" if failed.final else "warning"
    event["transaction"] = failed.type
    event["fingerprint"] = ["rediq", *kind_of(failed)]
    task = {
        "task_id": failed.id,
        "type": failed.type,
        "queue": failed.queue,
        "attempt": failed.attempt,
        "worker": failed.worker,
        "final": failed.final,
        "kind": failed.kind,
    }
    event["contexts"] = {"rediq": {**task, "max_retry": failed.max_retry}}
    event["tags"] = {f"rediq.{name}": tag(value) for name, value in task.items()}
    return event, hint


def kind_of(failed: FailedAttempt) -> tuple[str, ...]:
    """Return what tells one cause of failures from others."""
    if failed.kind:
        return (failed.kind,)
    return failed.type, re.sub(r"\d+", "#", failed.text.message)


def tag(value: object) -> str:
    """Return a value as Sentry takes it for a tag: short, and without control characters."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return shown(text)[:TAG_MAX]
