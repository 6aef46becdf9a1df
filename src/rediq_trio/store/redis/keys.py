"""The keys of a queue.

A queue has a constant number of keys, all in the hash slot of `{queue}`. So every script can
declare all keys that it uses, and no task can leave a key or a TTL of its own.
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
"""The sorted set with the tasks of each state. Pending tasks with a limit key are in `keyed`
instead."""

HASHES = ("records", "payloads", "results", "progress", "inputs", "steps")
"""The hashes whose fields are ids."""

QUEUE_KEYS = (
    "records", "meta", "payloads", "results", "progress", "expiring", "pending", "scheduled",
    "retry", "active", "completed", "dead", "cancelled", "blocked", "grouped", "keyed", "lanes",
    "shut", "permits", "turns", "limits", "rates", "unique", "locks", "edges", "needs", "inputs",
    "endings", "outbox", "received", "steps", "groups", "rules", "schedules", "ticks",
    "history",
)  # fmt: skip
"""Every key that a queue may have, in the order of `include/keys.lua`."""


class Keys:
    """Makes the names of keys with one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cache: dict[tuple[str, tuple[str, ...]], list[bytes]] = {}

    def of(self, queue: str, names: tuple[str, ...]) -> list[bytes]:
        """Return the keys of a queue for these names."""
        found = self._cache.get((queue, names))
        if found is None:
            found = [f"{self._prefix}:{{{queue}}}:{name}".encode() for name in names]
            self._cache[queue, names] = found
        return found

    def channel(self, queue: str) -> str:
        """Return the channel of a queue's signals, which is named like its key `meta`."""
        return f"{self._prefix}:{{{queue}}}:meta"

    def queue_of(self, channel: str) -> str:
        """Return the queue that a channel belongs to."""
        return channel[len(self._prefix) + 2 : -len("}:meta")]

    @property
    def workers(self) -> list[bytes]:
        """The keys of the workers' records, in the order in which the scripts take them."""
        return [f"{self._prefix}/{{workers}}/{name}".encode() for name in ("records", "alive")]

    @property
    def partitions(self) -> bytes:
        """The key of the hash with the number of partitions of each partitioned queue."""
        return f"{self._prefix}/partitions".encode()

    @property
    def queues(self) -> bytes:
        """The key of the set of all queues that were ever used."""
        return f"{self._prefix}/queues".encode()
