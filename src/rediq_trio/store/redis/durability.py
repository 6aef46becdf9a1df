"""Durability: what a write must have reached, besides the memory of the server, to be confirmed.

`WAIT` (Redis 3) and `WAITAOF` (Redis 7.2) block their own connection until all earlier writes on it
have reached replicas, or the disk: https://redis.io/docs/latest/commands/wait and
https://redis.io/docs/latest/commands/waitaof. Neither undoes a write: one that was not confirmed in
time may still last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, cast, get_args

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.operations import OPERATIONS, Confirm
from rediq_trio.values import bounds

Level = Literal["memory", "replicated", "fsynced"]
LEVELS: tuple[Level, ...] = get_args(Level)
CONFIRM_WITHIN_MS = 1000
"""Milliseconds that a server has to confirm a write that it has answered."""
MAX_REPLICAS = 100


OTHER_SCRIPT = MappingProxyType({"resume": "pause", "reinstate": "suspend"})
"""Operation -> its script, if that has another name."""
REPAIRS = frozenset({
    "repair_dependency", "repair_group", "repair_lane", "repair_member", "repair_schedule",
    "repair_task", "repair_totals", "repair_unique",
})  # fmt: skip
"""Scripts of repairs, which are no operations."""
OF_WORKERS = frozenset({"order", "register", "unregister"})
"""Scripts that write heartbeats of workers, and orders to them. A lost heartbeat is soon followed by the
next; an order is given again until the worker has said that it received it."""
OF_PEOPLE = frozenset({"log"})
"""Scripts that write what people did."""
OF_WORKFLOWS = frozenset({"due_workflows", "forget_workflow", "keep_workflow"})
"""Scripts that write records of workflows. If one is lost, the tasks of its workflow are still there."""
OF_STATISTICS = frozenset({"note_size"})
"""Scripts that write how much is kept of statistics. It is noted again while a queue is in use."""
READING = frozenset({
    "description", "failure_kinds", "groups", "inspect", "inspect_dependencies", "inspect_groups",
    "inspect_keys", "inspect_lanes", "inspect_members", "inspect_messages", "inspect_schedules",
    "inspect_tasks", "inspect_unique", "list", "list_workflows", "scan", "series",
    "situation", "states", "statistics", "stats", "types", "workers",
})  # fmt: skip
"""Scripts that only read, and are no operations."""

_CONFIRM: Mapping[str, Confirm] = MappingProxyType({
    **{OTHER_SCRIPT.get(name, name): each.confirm for name, each in OPERATIONS.items()},
    **dict.fromkeys(REPAIRS | OF_PEOPLE, Confirm.RAISE),
    **dict.fromkeys(READING | OF_STATISTICS | OF_WORKERS | OF_WORKFLOWS, Confirm.NO),
})  # fmt: skip


def confirm_of(script: str) -> Confirm:
    """Return what to do about a write of a script that was not confirmed.

    Raises `LookupError` for a script that is neither of an operation nor in a set of this module:
    there is no default.
    """
    try:
        return _CONFIRM[script]
    except KeyError:
        raise LookupError(
            f"the script {script} is of no operation, and in no set of store/redis/durability.py"
        ) from None


@attrs.frozen
class Durability:
    """A level, and how many replicas must have each write."""

    level: Level = "memory"
    replicas: int = 0

    @classmethod
    def of(cls, level: object, replicas: object = None) -> Durability:
        """Return the durability that a caller asks for; raise `ConfigError` for a bad value.

        `replicas` is 1 for `replicated` and 0 for `fsynced` unless given, 1 to 100.
        """
        if level not in LEVELS:
            raise ConfigError.of("durability", level, "one of " + ", ".join(LEVELS))
        if replicas is None:
            return cls(level, int(level == "replicated"))
        if level == "memory":
            raise ConfigError.of("replicas", replicas, "left away where durability is memory")
        least = int(level == "replicated")
        bounds.check_number("replicas", replicas, least, MAX_REPLICAS, integer=True)
        return cls(cast("Level", level), cast("int", replicas))

    @property
    def command(self) -> tuple[bytes | int, ...] | None:
        """The command that waits for the confirmation; None if the answer of a write is enough."""
        match self.level:
            case "memory":
                return None
            case "replicated":
                return (b"WAIT", self.replicas, CONFIRM_WITHIN_MS)
            case "fsynced":
                return (b"WAITAOF", 1, self.replicas, CONFIRM_WITHIN_MS)
