"""What a violated invariant means to an operator, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs


@attrs.frozen
class Advice:
    """About one invariant."""

    means: str
    do: str
    """What a person does about violations that `--repair` leaves."""


ADVICE: Mapping[int, Advice] = MappingProxyType(
    {
        1: Advice(
            "a task is not in the one index that its state names",
            "where record and index contradict each other, read the task (client.task(id).info()), "
            "decide, and delete or revive it; a claim makes an unreadable task dead, with a reason",
        ),
        2: Advice(
            "something of a task, of a message, or of the queue itself is lost or left over",
            "restore the key from a backup, or delete the task and enqueue it again; a worker moves a "
            "task without its payload or record to dead; delete unknown keys by hand, once you know "
            "who wrote them",
        ),
        3: Advice(
            "a task is active without a lease, or has a lease and is not active",
            "delete the task, or wait for its lease to run out",
        ),
        4: Advice(
            "the counters of a task contradict one another",
            "it has no immediate effect; delete and enqueue again a task whose counters must be exact",
        ),
        5: Advice(
            "the stored data of a task does not fit its state",
            "delete or revive the task",
        ),
        6: Advice(
            "a unique key is held by a task that has no right to it",
            "a worker makes an unreadable holder dead; run the check again then",
        ),
        7: Advice(
            "a task is at the wrong position in its queue",
            "delete the task and enqueue it again",
        ),
        8: Advice(
            "an expiry or a dependency of a task does not agree with its record",
            "look at what the task depends on; cancel it, or enqueue it again without",
        ),
        9: Advice(
            "a schedule cannot be read, or expects a tick that it must not",
            "declare the schedule again: restart the app that owns it, or client.schedules().add",
        ),
        10: Advice(
            "a group does not become a batch when it should",
            "start a worker that has the group's aggregator: it writes the rule again",
        ),
        11: Advice(
            "permits or lanes do not agree with the tasks that run",
            "set the limit again with queue.limit(); with more than 1,000 running tasks let some "
            "end, or pause the queue, and run the repair again",
        ),
        12: Advice(
            "the totals do not agree with a recount",
            "repair what else is violated first; the totals follow",
        ),
        13: Advice(
            "a task waits for something that will not come",
            "cancel it, or enqueue it again without the dependency",
        ),
    }
)
