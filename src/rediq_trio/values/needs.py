"""How a task names those that it needs: by ids or handles, one or many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds

_NONE = ()  # what a task that waits for nothing has: most are made so, and need no look


class Identified(Protocol):
    """What has a task's id: a handle, or what is read of a task."""

    @property
    def id(self) -> str: ...


def own_ids(value: Any) -> Any:
    """Take handles for their ids, and a single one for a tuple of one."""
    if value is _NONE:
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
