"""The keys of a queue.

A queue has a constant number of keys, all in the hash slot of `{queue}`, so every
script declares all it touches, and no task can leave a stray key or a TTL behind.
"""

from __future__ import annotations

from rediq_trio.spec.lifecycle import State

INDEX_OF = {
    State.SCHEDULED: "scheduled",
    State.BLOCKED: "blocked",
    State.GROUPED: "grouped",
    State.PENDING: "pending",
    State.RETRY: "retry",
    State.ACTIVE: "active",
    State.COMPLETED: "completed",
    State.DEAD: "dead",
    State.CANCELLED: "cancelled",
}
"""The sorted set that lists the tasks in each state; pending ones with a limit key are in
`keyed`."""

HASHES = ("records", "payloads", "results", "progress", "inputs", "steps")
"""The hashes whose fields are ids."""

QUEUE_KEYS = (
    "records", "meta", "payloads", "results", "progress", "expiring", "pending", "scheduled",
    "retry", "active", "completed", "dead", "cancelled", "blocked", "grouped", "keyed", "lanes",
    "shut", "permits", "turns", "limits", "rates", "unique", "locks", "edges", "needs", "inputs",
    "endings", "outbox", "received", "steps", "groups", "rules", "schedules", "ticks",
    "history",
)  # fmt: skip
"""Every key that a queue may have, in the order in which `include/keys.lua` names them."""


class Keys:
    """Names keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[tuple[str, tuple[str, ...]], list[bytes]] = {}

    def of(self, queue: str, names: tuple[str, ...]) -> list[bytes]:
        """Give the keys of a queue that go by these names."""
        found = self._made.get((queue, names))
        if found is None:
            found = [f"{self._prefix}:{{{queue}}}:{name}".encode() for name in names]
            self._made[queue, names] = found
        return found

    def channel(self, queue: str) -> str:
        """Give the channel on which a queue's signals are published: its meta key's name."""
        return f"{self._prefix}:{{{queue}}}:meta"

    def queue_of(self, channel: str) -> str:
        """Give the queue whose channel this is."""
        return channel[len(self._prefix) + 2 : -len("}:meta")]

    @property
    def workers(self) -> list[bytes]:
        """The keys of the workers' records, in the order of their scripts."""
        return [f"{self._prefix}/{{workers}}/{name}".encode() for name in ("records", "alive")]

    @property
    def partitions(self) -> bytes:
        """The key of the hash of partitioned queues, with the number of their partitions."""
        return f"{self._prefix}/partitions".encode()

    @property
    def queues(self) -> bytes:
        """The key of the set of queues ever used."""
        return f"{self._prefix}/queues".encode()
