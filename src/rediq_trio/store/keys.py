"""The keys of a queue, and how an id is stored.

A queue has a constant number of keys, all in the hash slot of `{queue}`, so every
script declares all it touches, and no task can leave a stray key or a TTL behind.
"""

from __future__ import annotations

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.limits import is_uuid7

INDEX_OF = {
    State.SCHEDULED: "scheduled",
    State.PENDING: "pending",
    State.RETRY: "retry",
    State.ACTIVE: "active",
    State.COMPLETED: "completed",
    State.DEAD: "dead",
    State.CANCELLED: "cancelled",
}
"""The sorted set that lists the tasks in each state."""

HASHES = ("records", "payloads", "results", "progress")
QUEUE_KEYS = (*HASHES, "meta", "expiring", *INDEX_OF.values())
"""Every key that a queue may have."""


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
    def queues(self) -> bytes:
        """The key of the set of queues ever used."""
        return f"{self._prefix}/queues".encode()


def pack_id(task_id: str) -> bytes:
    """Give an id as it is stored: a UUIDv7 in 16 bytes, any other as its text.

    A UUIDv7 begins with its time; until the year 3084 its first byte is
    one that no own id can begin with, so the two cannot meet.
    """
    if is_uuid7(task_id):
        return bytes.fromhex(task_id.replace("-", ""))
    return task_id.encode()


def unpack_id(stored: bytes) -> str:
    """Give the text of a stored id."""
    if len(stored) == 16 and stored[0] < 0x20:
        text = stored.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return stored.decode("utf-8", "replace")
