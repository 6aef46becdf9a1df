"""The keys of a queue.

A queue has a constant number of keys, all in the hash slot of `{queue}`. So a script can declare all
keys that it uses, and no task has a key or a TTL of its own that it could leave behind.
"""

from __future__ import annotations

from typing import Literal

import attrs

from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.spec.lifecycle import State

INDEX_OF = {state: state.value for state in State}
"""The sorted set with the tasks of each state. Pending tasks with a limit key are in `keyed`
instead."""

HASHES = ("records", "payloads", "results", "progress", "inputs", "steps", "attempts")
"""The hashes whose fields are ids."""


@attrs.frozen
class QueueKey:
    """One key of a queue."""

    name: str
    type: Literal["hash", "sorted set", "stream"]
    holds: str
    """What the key holds, in a sentence."""


KEY_TABLE = (
    QueueKey("records", "hash", "Each task's record, by its id: a msgpack array, see `RECORD_FIELDS`."),
    QueueKey(
        "meta", "hash",
        "The queue's settings, its counters and the last numbers that it gave; its name is also that of "
        "the channel on which signals are published.",
    ),
    QueueKey(
        "payloads", "hash",
        "Each envelope of more than 512 bytes, by the task's id; records hold the shorter.",
    ),
    QueueKey("results", "hash", "What each completed task's handler returned, by the task's id."),
    QueueKey("progress", "hash", "The newest progress of each task, by its id."),
    QueueKey("expiring", "sorted set", "The waiting tasks that expire, by when they do."),
    QueueKey(
        "pending", "sorted set",
        "The pending tasks without a limit key, by priority * 2^45 + `seq`: the order in which they are "
        "claimed.",
    ),
    QueueKey("scheduled", "sorted set", "The scheduled tasks, by when they are due."),
    QueueKey("retry", "sorted set", "The tasks to be retried, by when they are due."),
    QueueKey("active", "sorted set", "The active tasks, by when their lease runs out."),
    QueueKey("completed", "sorted set", "The completed tasks, by when they may be purged."),
    QueueKey("dead", "sorted set", "The dead tasks, by when they died."),
    QueueKey("cancelled", "sorted set", "The cancelled tasks, by when they may be purged."),
    QueueKey("blocked", "sorted set", "The tasks that wait for others, by when they were enqueued."),
    QueueKey(
        "grouped", "sorted set",
        "The members of groups, ordered by bytes: group, `seq` in 16 digits, id.",
    ),
    QueueKey(
        "keyed", "sorted set",
        "The pending tasks with a limit key, ordered by bytes: key, score in 16 digits, id.",
    ),
    QueueKey(
        "lanes", "sorted set",
        "The limit keys with a pending task that may start, by the score of the first; in a fair queue, "
        "by their turn.",
    ),
    QueueKey(
        "shut", "sorted set",
        "The limit keys with pending tasks that their limit holds back, by when one may start; +inf until "
        "a lease ends.",
    ),
    QueueKey("permits", "hash", "How many active tasks each limit key has."),
    QueueKey(
        "turns", "hash",
        "The turn at which each limit key was last served; '' for the tasks without one.",
    ),
    QueueKey(
        "limits", "hash",
        "Each limit, by its key, see `LIMIT_FIELDS`: '' limits the queue, `*` all other keys.",
    ),
    QueueKey(
        "rates", "sorted set",
        "The limit keys with a rate, by their theoretical arrival time in microseconds.",
    ),
    QueueKey("unique", "hash", "The id of the task that holds each unique key."),
    QueueKey("locks", "sorted set", "The unique keys whose window ends by time, by when."),
    QueueKey(
        "edges", "sorted set",
        "Ordered by bytes: the id of a task, the reference of one that waits for its end.",
    ),
    QueueKey(
        "needs", "sorted set",
        "Ordered by bytes: the id of a blocked task, the reference of one it waits for.",
    ),
    QueueKey(
        "inputs", "hash",
        "What the tasks that a task waited for returned, by its id: reference and result in turn.",
    ),
    QueueKey(
        "endings", "sorted set",
        "The ended tasks whose dependents are still to be notified, in the order of their ends, see "
        "`ENDING_FIELDS`.",
    ),
    QueueKey("outbox", "sorted set", "The messages to other queues, by their number, see `MAIL_FIELDS`."),
    QueueKey("received", "hash", "For each other queue, the number of its last message that was accepted."),
    QueueKey("steps", "hash", "What the steps of a task returned, by its id: name and result in turn."),
    QueueKey("groups", "sorted set", "The groups with members, by when they become a batch; 0 when full."),
    QueueKey("rules", "hash", "The rule of each group that was given one, see `GROUP_RULE_FIELDS`."),
    QueueKey("schedules", "hash", "Each schedule, by its name, see `SCHEDULE_FIELDS`."),
    QueueKey(
        "ticks", "sorted set",
        "The schedules, by the tick that they expect; one that is paused expects none.",
    ),
    QueueKey(
        "attempts", "hash",
        "The last attempts of each task that did not complete it, by its id: a msgpack array of arrays, "
        "see `ATTEMPT_FIELDS`.",
    ),
    QueueKey(
        "kinds", "hash",
        "The kinds of failure that were seen last, by their fingerprints: see `KIND_FIELDS`.",
    ),
    QueueKey("sightings", "sorted set", "The kinds of failure, by when each was seen last."),
    QueueKey(
        "history", "stream",
        "The last transitions, by their number, see `ENTRY_FIELDS`; empty unless the queue keeps a "
        "history.",
    ),
)  # fmt: skip
"""Every key that a queue may have, in the order of `include/keys.lua`."""

STATISTICS_TABLE = (
    QueueKey(
        "series", "hash",
        "The queue's numbers over time: the last sample, and the samples of 60 steps by level and number.",
    ),
    QueueKey(
        "types", "hash",
        "Its attempts by type: which types are kept apart, the step in progress, a field for each step "
        "that has ended, and the last tally of each worker.",
    ),
)  # fmt: skip
"""The keys with statistics of a queue. No task depends on them, so scripts that move tasks do not
declare them."""

STATISTICS_KEYS = tuple(key.name for key in STATISTICS_TABLE)
QUEUE_KEYS = tuple(key.name for key in KEY_TABLE)
"""The names of these keys."""
HASH_KEYS = frozenset(key.name for key in KEY_TABLE if key.type == "hash")


class Keys:
    """The full names of keys, with one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.workers = {
            key: f"{prefix}/{{workers}}/{name}".encode()
            for key, name in (("workers", "records"), ("alive", "alive"), ("orders", "orders"))
        }
        """The keys of the workers' records and orders, by what the scripts call them."""
        self.partitions = f"{prefix}/partitions".encode()
        """The key of the hash with the number of partitions of each partitioned queue."""
        self.queues = f"{prefix}/queues".encode()
        """The key of the set of all queues that were ever used."""
        self.logbooks = {logbook: f"{prefix}/{logbook}".encode() for logbook in Logbook}
        """The key of the stream of each logbook."""
        self.statistics = {
            key: f"{prefix}/{{statistics}}/{key}".encode() for key in ("sizes", "used")
        }
        """The keys with the sizes of all statistics, by what the script calls them."""
        self.workflows = {
            key: f"{prefix}/{{workflows}}/{name}".encode()
            for key, name in (
                ("workflows", "records"), ("order", "order"), ("checks", "checks"),
                ("totals", "totals"),
            )
        }  # fmt: skip
        """The keys of the records of workflows, by what the scripts call them."""
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
