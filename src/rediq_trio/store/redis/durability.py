"""Durability: how much more than "Redis answered" is asked of a write.

`WAIT` (Redis 3) and `WAITAOF` (Redis 7.2) block their connection only, until all that was
written before them has come to replicas, or to disk: https://redis.io/docs/latest/commands/wait
and https://redis.io/docs/latest/commands/waitaof. Neither undoes anything: a write that was
not confirmed in time may still last.
"""

from __future__ import annotations

import enum
from typing import Literal, cast, get_args

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds

Level = Literal["memory", "replicated", "fsynced"]
LEVELS: tuple[Level, ...] = get_args(Level)
CONFIRM_WITHIN_MS = 1000
"""How long a server may take to confirm what it answered, in ms."""
MAX_REPLICAS = 100


class Confirm(enum.IntEnum):
    """What becomes of a write that was not confirmed."""

    NO = 0
    """It is not waited for."""
    RAISE = 1
    """Its caller gets `Unconfirmed`."""
    NOTE = 2
    """Its caller gets the answer, and the log a line: what the worker does it can do again."""


BY_A_CLIENT = frozenset({
    "enqueue", "cancel", "revive", "delete", "pause", "flush", "limit", "arrange", "declare",
    "retract", "retract_others", "suspend", "trigger", "receive", "mend_group", "mend_lane",
    "mend_meta", "mend_schedule", "mend_seat", "mend_task", "mend_tie", "mend_unique",
})  # fmt: skip
"""Scripts that write for a client or an operator, who is told when it is not confirmed."""
BY_A_WORKER = frozenset({"claim", "complete", "fail", "release", "snooze", "stop", "remember"})
"""Scripts that write for a worker, which goes on."""
REPEATED = frozenset({
    "acknowledge", "batch", "register", "expire", "set_group_rules", "unregister", "promote", "purge", "reclaim",
    "renew", "report", "tick", "unblock", "watch",
})  # fmt: skip
"""Scripts whose writes are not confirmed: what is lost of them is soon written again, or only
keeps a waiter waiting; and a claim that is confirmed confirms all that led to it."""
READING = frozenset({
    "agenda", "examine", "groups", "inspect", "inspect_groups", "inspect_keys", "inspect_lanes",
    "inspect_mail", "inspect_schedules", "inspect_seats", "inspect_ties", "inspect_unique", "list",
    "workers", "stats",
})  # fmt: skip
"""Scripts that write nothing."""

_CONFIRM = {
    **dict.fromkeys(BY_A_CLIENT, Confirm.RAISE),
    **dict.fromkeys(BY_A_WORKER, Confirm.NOTE),
    **dict.fromkeys(REPEATED | READING, Confirm.NO),
}


def confirm_of(script: str) -> Confirm:
    """Return what becomes of a script's write that was not confirmed.

    Raises `LookupError` for a script that is in no class: there is no default.
    """
    try:
        return _CONFIRM[script]
    except KeyError:
        raise LookupError(f"the script {script} is in no class of store/redis/durability.py") from None


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
        bounds.check_number("replicas", replicas, least, MAX_REPLICAS, whole=True)
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
