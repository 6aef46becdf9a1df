"""Durability: how much more than "Redis answered" is asked of a write.

`WAIT` (Redis 3) and `WAITAOF` (Redis 7.2) block their connection only, until all that was
written before them has come to replicas, or to disk: https://redis.io/docs/latest/commands/wait
and https://redis.io/docs/latest/commands/waitaof. Neither undoes anything: a write that was
not confirmed in time may still last.
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
"""How long a server may take to confirm what it answered, in ms."""
MAX_REPLICAS = 100


OTHER_SCRIPT = MappingProxyType({"resume": "pause", "reinstate": "suspend"})
"""The script of an operation whose script has another name than the operation."""
REPAIRS = frozenset({
    "repair_dependency", "repair_group", "repair_lane", "repair_member", "repair_schedule",
    "repair_task", "repair_totals", "repair_unique",
})  # fmt: skip
"""Scripts that write for an operator, beside the operations."""
OF_WORKERS = frozenset({"register", "unregister"})
"""Scripts that write down which workers there are: soon said again."""
READING = frozenset({
    "groups", "inspect", "inspect_dependencies", "inspect_groups", "inspect_keys", "inspect_lanes",
    "inspect_members", "inspect_messages", "inspect_schedules", "inspect_tasks", "inspect_unique",
    "list", "stats", "workers",
})  # fmt: skip
"""Scripts that write nothing, beside the operations."""

_CONFIRM: Mapping[str, Confirm] = MappingProxyType({
    **{OTHER_SCRIPT.get(name, name): each.confirm for name, each in OPERATIONS.items()},
    **dict.fromkeys(REPAIRS, Confirm.RAISE),
    **dict.fromkeys(READING | OF_WORKERS, Confirm.NO),
})  # fmt: skip


def confirm_of(script: str) -> Confirm:
    """Return what becomes of a script's write that was not confirmed.

    Raises `LookupError` for a script that is neither an operation's nor named here: there is
    no default.
    """
    try:
        return _CONFIRM[script]
    except KeyError:
        raise LookupError(
            f"the script {script} is of no operation, and in no set of store/redis/durability.py"
        ) from None


@attrs.frozen
class Durability:
    """A level and the number of replicas that are to have each write."""

    level: Level = "memory"
    replicas: int = 0

    @classmethod
    def of(cls, level: object, replicas: object = None) -> Durability:
        """Check what a caller asks for; raise `ConfigError`.

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
        """The command that waits until it is reached; None where an answer is enough."""
        match self.level:
            case "memory":
                return None
            case "replicated":
                return (b"WAIT", self.replicas, CONFIRM_WITHIN_MS)
            case "fsynced":
                return (b"WAITAOF", 1, self.replicas, CONFIRM_WITHIN_MS)
