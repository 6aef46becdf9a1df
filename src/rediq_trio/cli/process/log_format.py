"""The log of `rediq run`: as text for people, or as JSON, one object on each line.

Nothing in a record is trusted: messages and errors hold text of tasks. In the text, a record is one
line, and what must take more lines, such as a traceback, is indented. So no text can pass for
another record, and no control character reaches a terminal.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from rediq_trio._errors import quote
from rediq_trio.handlers.log_fields import TASK_FIELDS, logging_filter
from rediq_trio.observe.words import shown

log = logging.getLogger("rediq_trio")

_INDENT = "  "
_LIBRARY = "rediq_trio"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that each record has."""
_RaisedInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class TextFormatter(logging.Formatter):
    """Formats a record as a line of text. A traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        first, *more = self._message(record)
        text = (
            f"{self.formatTime(record)} {record.process} {record.levelname} {record.name}: {first}"
        )
        lines = [text + _task_of(record, first), *(_INDENT + line for line in more)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        if record.stack_info:
            lines += (_INDENT + shown(line) for line in record.stack_info.split("\n"))
        return "\n".join(lines)

    def formatException(self, ei: _RaisedInfo) -> str:
        text = "".join(_escaped(ei).format()).rstrip("\n")
        return "\n".join(_INDENT + shown(line) for line in text.split("\n"))

    def _message(self, record: logging.LogRecord) -> list[str]:
        text = record.getMessage()
        if record.name.partition(".")[0] != _LIBRARY:
            return [shown(text)]
        # The worker's own messages contain stacks, and in them no text of a task.
        return [shown(line) for line in text.split("\n")]


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in fields and value is not None:
                fields[name] = _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = record.exc_info[0].__name__
            fields["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return json.dumps(fields)


FORMATTERS: Mapping[str, Callable[[], logging.Formatter]] = MappingProxyType(
    {"text": TextFormatter, "json": JsonFormatter}
)
"""The formats of `--log-format`."""


def log_to_stderr(level: str, chosen: str | None) -> None:
    """Write the log to stderr, unless the app's module has configured logging."""
    root = logging.getLogger()
    log.setLevel(level.upper())
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(FORMATTERS[chosen or "text"]())
        handler.addFilter(logging_filter())
        root.addHandler(handler)
    elif chosen is not None:
        log.warning(
            "--log-format=%s has no effect, as the app's module has configured logging: set the "
            "format there, and add rediq.logging_filter() to its handlers", chosen,
        )  # fmt: skip


def _task_of(record: logging.LogRecord, message: str) -> str:
    """Return the attempt that a record belongs to; nothing if its message names the task."""
    fields = {name: vars(record).get(name) for name in TASK_FIELDS}
    task_id = fields["task_id"]
    if task_id is None or str(task_id) in message:
        return ""
    # The queue is in the id, and the worker is this process.
    named = (
        name for name in ("task_id", "type", "attempt", "trace_id") if fields[name] is not None
    )
    return f" [{' '.join(f'{name}={shown(str(fields[name]))}' for name in named)}]"


def _escaped(found: _RaisedInfo) -> traceback.TracebackException:
    """Return an error with its traceback, and with the newlines of its messages as escapes."""
    kind, error, trace = found
    assert kind is not None
    assert error is not None
    whole = traceback.TracebackException(kind, error, trace, compact=True)
    for part in _parts(whole):
        # Not public. Without it, the further lines of a message are indented as the others.
        if isinstance(text := getattr(part, "_str", None), str):
            part._str = shown(text)  # type: ignore[attr-defined]
        if notes := getattr(part, "__notes__", None):
            part.__notes__ = [shown(str(note)) for note in notes]
    return whole


def _parts(whole: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Return an error, its causes and the members of its groups."""
    left: list[traceback.TracebackException | None] = [whole]
    while left:
        part = left.pop()
        if part is not None:
            yield part
            left += [part.__cause__, part.__context__, *(part.exceptions or ())]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; as text what JSON does not have."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return quote(value)
    return value
