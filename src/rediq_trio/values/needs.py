"""The dependencies of a task: ids or handles, one or many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds

_NO_TASKS = ()  # the default, which needs no check


class Identified(Protocol):
    """Anything with a task's id: a handle, or a `TaskInfo`."""

    @property
    def id(self) -> str: ...


def task_ids(value: Any) -> Any:
    """Return the ids of handles, and a single dependency as a tuple of one."""
    if value is _NO_TASKS:
        return value
    if isinstance(value, str) or hasattr(value, "id"):
        value = (value,)
    if not isinstance(value, Iterable):
        return value
    many = cast("Iterable[Any]", value)
    return tuple(one if isinstance(one, str) else getattr(one, "id", one) for one in many)


def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple):
        raise ConfigError.of(attribute.name, value, "ids or handles of tasks")
    many = cast("tuple[Any, ...]", value)
    if len(many) > bounds.MAX_DEPENDENCIES:
        raise ConfigError.of(
            attribute.name, f"<{len(many)} tasks>", f"at most {bounds.MAX_DEPENDENCIES:,} tasks"
        )
    for one in many:
        if not bounds.is_task_id(one):
            bound = f"a task's id, '<queue>/<id>', each part {bounds.NAME_BOUND}, or its handle"
            raise ConfigError.of(attribute.name, one, bound)
