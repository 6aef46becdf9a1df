"""The JSON schema of what `rediq ... --json` prints, from the values that the commands print.

Each command has an entry: the value that one line of its output is, or the fields of it. Values that can be
read in Python become definitions of their own. Fields may be added at any time, so none is forbidden.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import types
import typing
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal, cast

import attrs

from rediq_trio.cli.inspect.limits import UsedLimit
from rediq_trio.cli.setup.diagnosis import Diagnosis
from rediq_trio.observe.alerts import Alert
from rediq_trio.observe.as_json import SCHEMA
from rediq_trio.observe.scaling import QueueScaling
from rediq_trio.observe.views import QueueView
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.values.limits import QueueLimits
from rediq_trio.values.observed.audit import AuditEntry, Mark
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.observed.group import GroupInfo
from rediq_trio.values.observed.series import SeriesGap, SeriesPoint
from rediq_trio.values.observed.types import TypeStats
from rediq_trio.values.observed.why import Why
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import QueueStats, TaskInfo, WorkerInfo

Fields = Mapping[str, Any]
Output = type[Any] | Fields | tuple["Output", ...]
"""What a line is: a value, fields with their types, the fields of several, or one of them."""

OUTCOME: Fields = {"id": str, "outcome": str}
DRY_RUN: Fields = {"dry_run": Literal[True], "would": str}
"""What each command prints with `--dry-run` that has it."""
_ENQUEUED: Fields = {"id": str, "created": bool}
_VIOLATION: Fields = {
    "invariant": int, "queue": str, "about": str, "kind": str, "subject": str, "detail": str,
    "repairable": bool,
}  # fmt: skip
_LEFT: Fields = {name: kind for name, kind in _VIOLATION.items() if name != "repairable"}
_REPAIR: Fields = dict.fromkeys(
    ("what", "queue", "about", "kind", "subject", "before", "after", "why"), str
)
_CHECKED: Fields = {
    "queue": str, "sound": bool, "violations": [_VIOLATION], "plan": [_REPAIR],
    "made": ([_REPAIR], None), "left": ([_LEFT], None),
}  # fmt: skip
_BREAK: Fields = {
    "step": int, "event": str, "task": str | None, "invariant": int, "detail": str,
    "task_history": [str],
}  # fmt: skip
_BROKEN: Fields = {
    "promise": str, "text": str, "at": float, "seed": int, "parts": int, "small_parts": int,
    "shrink_runs": int, "plan": str | None, "command": str | None, "timeline": [str],
}  # fmt: skip
_WORKFLOW: Fields = {
    "...": WorkflowStatus, "done": int, "running": int, "failed": int, "waiting": int,
}  # fmt: skip
_UNCHANGED: Fields = {"id": str, "changed": int}
_NODE: Fields = {"name": str, "task": str, "state": str | None, "after": [str]}
_PAUSED: Fields = {"queue": str, "paused": bool}
_ORDERED: Fields = {"worker": str, "state": str}


def _counted(name: str) -> Fields:
    return {"queue": str, name: int, "refused": int}


def _chosen(name: str) -> tuple[Fields, ...]:
    return OUTCOME, _counted(name)


_BRIEF: Fields = {
    "at": dt.datetime, "queues": [QueueView], "workers": [WorkerInfo], "alerts": [Alert],
}  # fmt: skip
OUTPUTS: Mapping[str, Any] = {
    "": _BRIEF,
    "status": (
        {"at": dt.datetime, "alerts": [Alert], "away": str | None, "unknown": dict[str, str]}, _BRIEF,
    ),
    "enqueue": (_ENQUEUED, TaskInfo),
    "queue list": {"name": str, "at": dt.datetime, "workers": [str], "stats": QueueStats},
    "queue show": {
        "name": str, "at": dt.datetime, "stats": QueueStats, "workers": [str],
        "limits": QueueLimits, "schedules": [str], "scaling": QueueScaling, "alerts": [Alert],
        "series_bytes": int,
    },
    "queue series": {"queue": str, "step": float, "points": [SeriesPoint], "gaps": [SeriesGap]},
    "queue pause": _PAUSED,
    "queue resume": _PAUSED,
    "queue remove": {"queue": str, "removed": bool},
    "queue flush": {"queue": str, "deleted": int},
    "queue limit": {"queue": str, "limits": QueueLimits},
    "queue targets": {"queue": str, "targets": QueueTargets},
    "task list": TaskInfo,
    "task show": TaskInfo,
    "task why": Why,
    "task wait": TaskInfo,
    "task cancel": _chosen("cancelled"),
    "task retry": _chosen("retried"),
    "task delete": _chosen("deleted"),
    "task requeue": _chosen("moved"),
    "task run-now": OUTCOME,
    "task reschedule": OUTCOME,
    "task again": OUTCOME,
    "task edit": (OUTCOME, {**OUTCOME, "new_id": str}),
    "task export": {"queue": str, "state": str, "exported": int, "file": str},
    "task import": {"queue": str, "enqueued": int, "refused": int},
    "dead list": TaskInfo,
    "dead show": TaskInfo,
    "dead retry": _chosen("retried"),
    "dead delete": _chosen("deleted"),
    "dead retry-all": {"queue": str, "retried": int},
    "dead delete-all": {"queue": str, "deleted": int},
    "failures list": {"queue": str, "...": FailureKind},
    "failures show": {"queue": str, "...": FailureKind},
    "failures retry": _counted("retried"),
    "failures delete": _counted("deleted"),
    "worker list": WorkerInfo,
    "worker show": WorkerInfo,
    "worker quiet": _ORDERED,
    "worker work": _ORDERED,
    "worker stop": _ORDERED,
    "worker stacks": {"task": str, "stacks": str},
    "schedule list": {"...": ScheduleInfo, "when": str},
    "schedule show": {"...": ScheduleInfo, "when": str},
    "schedule next": {"name": str, "paused": bool, "next": [dt.datetime]},
    "schedule add": {"...": ScheduleInfo, "when": str},
    "schedule pause": {"name": str, "paused": bool},
    "schedule resume": {"name": str, "paused": bool},
    "schedule run": _ENQUEUED,
    "schedule remove": {"name": str, "removed": bool},
    "workflow list": _WORKFLOW,
    "workflow show": {**_WORKFLOW, "nodes": [_NODE]},
    "workflow cancel": (_UNCHANGED, {"id": str, "cancelled": int, "stopping": int}),
    "workflow retry": (_UNCHANGED, {"id": str, "retried": int, "left": int}),
    "stats": {
        "queue": str, "...": TypeStats, "attempts": int, "rate": float,
        "failure_rate": float | None,
    },
    "group list": GroupInfo,
    "limit list": UsedLimit,
    "audit": AuditEntry,
    "mark": Mark,
    "history": {"queue": str, "steps": int, "file": str},
    "replay": {
        "queue": str, "steps": int, "whole": bool, "breaks": int, "first": (_BREAK, None),
    },
    "sim": {
        "runs": int, "seconds": float, "seed": int | None, "interrupted": bool,
        "faults": dict[str, int], "never_came": int, "promises": dict[str, int], "seen": dict[str, int],
        "failure": (_BROKEN, None),
    },
    "check": {"version": int, "sound": bool, "queues": [_CHECKED]},
    "doctor": {"version": str, "ok": bool, "checks": [Diagnosis]},
    "bench": {
        "tasks": int, "concurrency": int, "enqueue_seconds": float, "enqueue_rate": float,
        "work_seconds": float, "work_rate": float, "waiting": dict[str, Any],
    },
}  # fmt: skip
"""What one line of each command is, by its words; that of `rediq` alone has none."""
NO_JSON = {"demo", "run", "completion", "web", "dash"}
"""Commands that print no JSON."""
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}
_PLAIN: Mapping[Any, Mapping[str, Any]] = {
    None: {"type": "null"}, type(None): {"type": "null"}, bool: {"type": "boolean"},
    int: {"type": "integer"}, float: _NUMBER, str: {"type": "string"}, Any: {},
    dt.datetime: {"type": "string", "format": "date-time"}, dt.timedelta: {"type": "number"},
}  # fmt: skip


class _Schemas:
    """Makes schemas of types, and collects the definitions that they need."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of a type, of fields, of a list of one, or of one of several."""
        if isinstance(kind, Mapping):
            return self.fields(cast("Fields", kind))
        if isinstance(kind, list):
            return {"type": "array", "items": self.of(cast("list[Any]", kind)[0])}
        if isinstance(kind, tuple):
            return {"anyOf": [self.of(each) for each in cast("tuple[Any, ...]", kind)]}
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        if isinstance(kind, type) and attrs.has(kind):
            return self._definition(kind)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        return self._generic(kind, typing.get_origin(kind), typing.get_args(kind))

    def _generic(self, kind: Any, origin: Any, inner: tuple[Any, ...]) -> dict[str, Any]:
        if origin in (typing.Union, types.UnionType):
            return {"anyOf": [self.of(each) for each in inner]}
        if origin is Literal:
            return {"enum": list(inner)}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(inner[1])}
        if isinstance(origin, type) and issubclass(origin, Sequence | Set):
            return {"type": "array", "items": self.of(inner[0])}
        if isinstance(kind, type) and issubclass(kind, str):
            return {"type": "string"}
        raise TypeError(f"no schema for {kind!r}")

    def _definition(self, kind: type[Any]) -> dict[str, Any]:
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = {}  # it may contain itself
            attrs.resolve_types(kind)
            found = self.fields({field.name: field.type for field in attrs.fields(kind)})
            said = (kind.__doc__ or "").partition("\n")[0]
            self.definitions[kind.__name__] = {"description": said, **found}
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def fields(self, fields: Fields) -> dict[str, Any]:
        """Return the schema of an object; the fields of a value are put in place of "..."."""
        flat: dict[str, Any] = {}
        for name, kind in fields.items():
            if name == "...":
                attrs.resolve_types(kind)
                flat |= {field.name: field.type for field in attrs.fields(kind)}
            else:
                flat[name] = kind
        return {
            "type": "object", "required": list(flat),
            "properties": {name: self.of(kind) for name, kind in flat.items()},
        }  # fmt: skip


def schema() -> dict[str, Any]:
    """Return the schema of all commands: that of one is at `#/commands/<its words, with a hyphen>`."""
    schemas = _Schemas()
    version = {"properties": {"rediq": {"const": SCHEMA}}, "required": ["rediq"]}
    commands = {
        key_of(words): {"allOf": [version, {"anyOf": [schemas.of(kind), schemas.of(DRY_RUN)]}]}
        for words, kind in OUTPUTS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"What rediq prints with --json, version {SCHEMA}: one object, or one a line",
        "commands": commands,
        "$defs": dict(sorted(schemas.definitions.items())),
    }


def key_of(words: str) -> str:
    """Return the name of a command in the schema."""
    return "-".join(["rediq", *words.split()])


def text() -> str:
    """Return the schema as the file that is published: a line for each command and definition."""
    parts: list[str] = []
    for name, value in schema().items():
        if isinstance(value, str):
            parts.append(f"{json.dumps(name)}: {json.dumps(value)}")
            continue
        lines = [f"  {json.dumps(key)}: {json.dumps(each)}" for key, each in value.items()]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
