"""Whether a task is enqueued: what a test looks for, what there is, and how they differ."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, did_you_mean, quote
from rediq_trio.handlers.app import TaskType
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.spec.records import QueueState
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values import bounds
from rediq_trio.values.task import TaskInfo
from rediq_trio.wire.structuring import to_plain

RUN_AT_TOLERANCE = dt.timedelta(seconds=1)
"""How far a task may be due from `run_at`: an enqueue takes some time too."""
SHOWN_TASKS_MAX = 10
"""Tasks that a message shows."""


def _type_name(value: Any) -> str | None:
    given: Any = value  # whose type no test for a class makes narrower
    name: object = given.name if isinstance(value, TaskType) else given
    if name is not None and not isinstance(name, str):
        raise ConfigError.of("type", given, "a task type, its name or None")
    return name


def _state(value: object) -> State | None:
    if value is None:
        return None
    if value not in list(State):
        hint = did_you_mean(str(value), list(State))
        raise ConfigError.of("state", value, f"one of {', '.join(State)}{hint}")
    return State(str(value))


@attrs.frozen(kw_only=True)
class WantedTask:
    """What a test looks for. Without a state, tasks that have not ended."""

    type: str | None = attrs.field(converter=_type_name)
    payload: Mapping[str, Any]
    queue: str | None = attrs.field(validator=attrs.validators.optional(bounds.queue))
    state: State | None = attrs.field(converter=_state)
    run_at: dt.datetime | None
    within: dt.timedelta | None
    count: int | None = attrs.field(
        validator=attrs.validators.optional(bounds.number(1, 1_000_000, integer=True))
    )

    def __attrs_post_init__(self) -> None:
        if self.run_at is not None:
            bounds.check_instant("run_at", self.run_at)

    def differences(self, info: TaskInfo, now: dt.datetime) -> dict[str, str]:
        """Return the fields in which a task differs, each with what was wanted of it."""
        found: dict[str, str] = {}
        if self.type is not None and info.type != self.type:
            found["type"] = self.type
        for name, value in self.payload.items():
            if field_of(info, name) != value:
                found[name] = repr(value)
        if self.queue is not None and info.queue != self.queue:
            found["queue"] = repr(self.queue)
        if self.state is None and info.state in TERMINAL:
            found["state"] = "not ended"
        if self.state is not None and info.state is not self.state:
            found["state"] = self.state
        if self.run_at is not None and abs(info.run_at - self.run_at) > RUN_AT_TOLERANCE:
            found["run_at"] = str(self.run_at)
        if self.within is not None and info.run_at - now > self.within:
            found["run_at"] = f"within {self.within}"
        return found

    def __str__(self) -> str:
        words = [self.type or "any type"]
        words += [f"{name}={value!r}" for name, value in self.payload.items()]
        for name in ("queue", "state", "run_at", "within"):
            value = getattr(self, name)
            if value is not None:
                words.append(f"{name}={str(value)!r}")
        return " ".join(words)


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""Stands for a field that a payload does not have."""


def field_of(info: TaskInfo, name: str) -> Any:
    """Return a field of a task's payload, or `MISSING`."""
    return _fields(info).get(name, MISSING)


def _fields(info: TaskInfo) -> Mapping[str, Any]:
    """Return the fields of a payload that has some."""
    payload: Any = info.payload
    return cast("Mapping[str, Any]", payload) if isinstance(payload, Mapping) else {}


def make_wanted(
    type: Any, payload: Mapping[str, Any], tasks: Iterable[TaskInfo], **where: Any
) -> WantedTask:
    """Return what a test looks for; raise `ConfigError` for a field that no such task can have."""
    within = where["within"]
    if within is not None:
        seconds = bounds.to_seconds(within)
        bounds.check_seconds("within", seconds, 0, bounds.MAX_DELAY)
        where["within"] = dt.timedelta(seconds=seconds)
    given: Any = type
    conversions = given.conversions if isinstance(type, TaskType) else None
    plain = {
        name: value if conversions is None else to_plain(value, name, conversions)
        for name, value in payload.items()
    }
    wanted = WantedTask(type=given, payload=plain, **where)
    known = _known_fields(given, wanted.type, tasks)
    for name in payload:
        if known is not None and name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(
                f"{name}={quote(payload[name])}: {wanted.type or 'no task'} has no such field; "
                f"there are {', '.join(sorted(known)) or 'none'}{hint}"
            )
    return wanted


def _known_fields(
    type: object, name: str | None, tasks: Iterable[TaskInfo]
) -> frozenset[str] | None:
    """Return the fields of the payloads of a type; None if they may be any."""
    if isinstance(type, TaskType):
        parameters = type.signature.parameters.values()
        if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
            return None
        return frozenset(each.name for each in parameters)
    alike = [info for info in tasks if name in (None, info.type)]
    if not alike:
        return None
    return frozenset(field for info in alike for field in _fields(info))


def tasks_in(queues: Mapping[str, QueueState]) -> list[TaskInfo]:
    """Return all tasks, the oldest first."""
    found = [
        make_task_info(name, record)
        for name, queue in queues.items()
        for record in queue.records.values()
    ]
    return sorted(found, key=lambda info: (info.created_at, info.id))


def matching(wanted: WantedTask, tasks: Sequence[TaskInfo], now: dt.datetime) -> list[TaskInfo]:
    """Return the tasks that are as wanted."""
    return [info for info in tasks if not wanted.differences(info, now)]


def describe_tasks(wanted: WantedTask, tasks: Sequence[TaskInfo], now: dt.datetime) -> str:
    """Return what there is as text: the tasks that are most alike first, with what differs marked."""
    if not tasks:
        return "there is no task at all"
    compared = sorted(
        ((wanted.differences(info, now), info) for info in tasks),
        key=lambda each: (len(each[0]), "type" in each[0]),
    )
    lines = [f"    {_line(wanted, info, other, now)}" for other, info in compared[:SHOWN_TASKS_MAX]]
    if len(compared) > SHOWN_TASKS_MAX:
        lines.append(f"    and {len(compared) - SHOWN_TASKS_MAX} more")
    return "there is, most alike first:\n" + "\n".join(lines)


def _line(wanted: WantedTask, info: TaskInfo, other: Mapping[str, str], now: dt.datetime) -> str:
    due = (info.run_at - now).total_seconds()
    shown = {"type": info.type}
    payload: Any = info.payload
    if isinstance(payload, Mapping):
        shown |= {name: repr(value) for name, value in _fields(info).items()}
    elif payload is not None:
        shown["payload"] = repr(payload)
    shown |= {name: "nothing" for name in wanted.payload if name not in shown}
    shown |= {"queue": repr(info.queue), "state": str(info.state)}
    shown["run_at"] = f"in {due:g} s" if due > 0 else f"{-due:g} s ago"
    words = [info.id]
    for name, value in shown.items():
        text = value if name == "type" else f"{name}={value}"
        words.append(f"[{text}, not {other[name]}]" if name in other else text)
    return " ".join(words)
