"""What a worker's record says beside the fields of the first version, packed and read.

Each detail has a name of its own. Older versions write fewer and newer ones more, so what is missing,
unknown or of another kind is None, and does not make the record unreadable.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast, get_args

from rediq_trio.values.observed.signature import TaskSignature
from rediq_trio.values.observed.workers import ReceivedOrder, RunningTask, WorkerHealth, WorkerState
from rediq_trio.values.task import WorkerInfo

RUNNING_MAX = 50
"""Maximum running tasks that a worker's record names."""
HEALTH_REASONS_MAX, HEALTH_REASON_MAX = 10, 500
"""Maximum reasons of its health that a worker's record has, and characters of each."""
ORDERS_SHOWN = 10
"""Maximum orders that a worker's record says it has received."""
SIGNATURES_MAX, PARAMETERS_MAX, SIGNATURES_LENGTH_MAX = 200, 32, 8_192
"""Bounds of the signatures that a worker's record has: how many, with so many parameters each, and the
characters of all their names. Those beyond are left out, each as a whole."""


def pack_details(info: WorkerInfo) -> dict[str, Any]:
    """Return the details of a worker that are known, as plain data by name."""
    tasks, health = info.running_tasks, info.health
    reasons = () if health is None else health.reasons[:HEALTH_REASONS_MAX]
    details: dict[str, Any] = {
        "instance": info.instance,
        "state": info.state,
        "type_count": info.type_count,
        "tasks": None if tasks is None else [_plain_task(task) for task in tasks[:RUNNING_MAX]],
        "health": None if health is None else [
            health.alive, health.ready, [text[:HEALTH_REASON_MAX] for text in reasons],
        ],
        "loop_delay": info.loop_delay,
        "memory": info.memory,
        "settings": None if info.settings is None else dict(info.settings),
        "labels": None if info.labels is None else dict(info.labels),
        "orders": None if info.orders is None else [
            _plain_order(order) for order in info.orders[-ORDERS_SHOWN:]
        ],
        "signatures": None if info.signatures is None else _plain_signatures(info.signatures),
        "leases_lost": info.leases_lost,
        "unconfirmed": info.unconfirmed,
    }  # fmt: skip
    return {name: value for name, value in details.items() if value is not None}


def read_details(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return these details as fields of a `WorkerInfo`."""
    return {field: _read_or_none(read, found.get(name)) for name, field, read in _DETAILS}


def _plain_task(task: RunningTask) -> list[Any]:
    return [task.id, task.type, task.attempt, task.since.timestamp(), task.percent]


def _plain_order(order: ReceivedOrder) -> list[Any]:
    stacks = None if order.stacks is None else dict(order.stacks)
    return [order.id, order.name, order.received_at.timestamp(), order.refused, stacks]


def _plain_signatures(signatures: Mapping[str, TaskSignature]) -> dict[str, Any]:
    found, left = dict[str, Any](), SIGNATURES_LENGTH_MAX
    for name, one in signatures.items():
        names = (*one.required, *one.optional)
        left -= len(name) + sum(map(len, names))
        if left < 0 or len(found) == SIGNATURES_MAX:
            break
        if len(names) <= PARAMETERS_MAX:
            found[name] = [list(one.required), list(one.optional), one.open]
    return found


def _read_or_none(read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return None if value is None else read(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _state(value: object) -> str | None:
    return value if value in get_args(WorkerState) else None  # type: ignore[return-value]


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value


def _tasks(value: Iterable[Any]) -> tuple[RunningTask, ...]:
    return tuple(_task(*each[:5]) for each in value)


def _task(ident: Any, kind: Any, attempt: Any, since: Any, percent: Any) -> RunningTask:
    return RunningTask(
        id=_text(ident),
        type=_text(kind),
        attempt=_count(attempt),
        since=dt.datetime.fromtimestamp(since, dt.UTC),
        percent=None if percent is None else float(percent),
    )


def _health(value: Any) -> WorkerHealth:
    alive, ready, reasons = value[:3]
    return WorkerHealth(alive=bool(alive), ready=bool(ready), reasons=tuple(map(str, reasons)))


def _orders(value: Iterable[Any]) -> tuple[ReceivedOrder, ...]:
    return tuple(_order(*each[:5]) for each in value)


def _order(ident: Any, name: Any, received_at: Any, refused: Any, stacks: Any) -> ReceivedOrder:
    return ReceivedOrder(
        id=_text(ident),
        name=_text(name),
        received_at=dt.datetime.fromtimestamp(received_at, dt.UTC),
        refused=None if refused is None else _text(refused),
        stacks=None if stacks is None else _texts(stacks),
    )


def _signatures(value: object) -> dict[str, TaskSignature]:
    return {str(name): _signature(*each[:3]) for name, each in _mapping(value).items()}


def _signature(required: Any, optional: Any, more: Any) -> TaskSignature:
    return TaskSignature(
        required=tuple(map(_text, required)), optional=tuple(map(_text, optional)), open=bool(more)
    )


def _mapping(value: object) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value))


def _texts(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in _mapping(value).items()}


_DETAILS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("instance", "instance", _text),
    ("state", "state", _state),
    ("type_count", "type_count", _count),
    ("tasks", "running_tasks", _tasks),
    ("health", "health", _health),
    ("loop_delay", "loop_delay", float),
    ("memory", "memory", _count),
    ("settings", "settings", _mapping),
    ("labels", "labels", _texts),
    ("orders", "orders", _orders),
    ("signatures", "signatures", _signatures),
    ("leases_lost", "leases_lost", _count),
    ("unconfirmed", "unconfirmed", _count),
)
"""The name of each detail in a record, the field of `WorkerInfo`, and how it is read."""
