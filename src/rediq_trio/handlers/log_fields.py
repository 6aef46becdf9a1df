"""The fields that a log record has if it was made inside a handler: which attempt it belongs to.

They are read from the context variable of `current_task()`. So records have them whoever makes them:
the handler, a library that it calls, a Trio task or a thread that it starts.
"""

from __future__ import annotations

import logging
import sys

from rediq_trio.handlers.context import CURRENT, CurrentTask

TASK_FIELDS = ("task_id", "type", "queue", "attempt", "worker", "trace_id")
"""The fields of a record that belongs to an attempt."""


def fields_of(task: CurrentTask) -> dict[str, str | int | None]:
    """Return the fields of the records of an attempt."""
    return {
        "task_id": task.id,
        "type": task.type,
        "queue": task.queue,
        "attempt": task.attempt,
        "worker": task.worker,
        "trace_id": task.trace_id,
    }


class _TaskFilter(logging.Filter):
    """Adds the fields; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        task = CURRENT.get(None)
        fields = dict.fromkeys(TASK_FIELDS) if task is None else fields_of(task)
        for name, value in fields.items():
            # A record of the worker itself, or one with `extra`, has said it already.
            record.__dict__.setdefault(name, value)
        return True


def logging_filter() -> logging.Filter:
    """Return a filter that adds `task_id`, `type`, `queue`, `attempt`, `worker` and `trace_id` to log records.

    Add it to a handler of `logging` (`handler.addFilter(rediq.logging_filter())`), so that every
    record that reaches it has these attributes. They are those of the attempt in which the record was
    made, also in threads and Trio tasks that its handler started. Outside of a handler they are
    None, and so is `trace_id` without telemetry if the task's metadata have no W3C `traceparent`. An attribute
    that a record has already stays. No record is left out.
    """
    return _TaskFilter()


def bind_structlog(task: CurrentTask) -> None:
    """Bind the fields in the context variables of structlog, if the program uses it."""
    bind = getattr(sys.modules.get("structlog.contextvars"), "bind_contextvars", None)
    if bind is not None:
        fields = fields_of(task)
        bind(**{name: value for name, value in fields.items() if value is not None})
