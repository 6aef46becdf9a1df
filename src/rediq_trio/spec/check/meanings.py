"""The invariants, what a violation of each means to an operator, and what a person does about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

INVARIANTS: Mapping[int, str] = MappingProxyType(
    {
        1: "A task is in exactly one state, and in exactly the index that the state names.",
        2: "Nothing is lost: an enqueued task is in some index until it is purged after its end. "
        "No key carries a TTL.",
        3: "One holder: at most one live lease per task. A write with an older token changes "
        "nothing. Being active and having a lease are one.",
        4: "`attempt <= max_retry + 1`; only a failure or a timeout uses one up; every claim "
        "raises `deliveries`.",
        5: "A terminal state changes only by revive, requeue, delete and purge.",
        6: "At most one task in the window of a unique key; the key names its holder, and is free "
        "once the window ends, also after death, cancellation, deletion and purge.",
        7: "Among ready tasks the lower priority number goes first, then first come, first served.",
        8: "No task is claimed before its `run_at`, after its `expires`, before its dependencies "
        "have ended as its policy asks, or once `pause()` has returned.",
        9: "A tick of a schedule makes exactly one task, whatever number of servers run it.",
        10: "A grouped task ends in exactly one batch; a group waits no longer than `max_delay`.",
        11: "Limits hold at every instant: no more live leases than a limit of concurrency, no more "
        "starts in any window than a rate; a permit dies with its lease.",
        12: "Counters agree with a recount: enqueued = tasks in all states + purged + deleted "
        "+ batched.",
        13: "Liveness: with a live worker and capacity, every ready task is claimed, and every "
        "lapsed lease reclaimed within `lease + 5 s`.",
    }
)
"""What is true of a queue at every instant, by the numbers of `Violation.invariant`."""
MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        1: "a task is not in the one index that its state names",
        2: "something of a task, of a message, or of the queue itself is lost or left over",
        3: "a task is active without a lease, or has a lease and is not active",
        4: "the counters of a task contradict one another",
        5: "the stored data of a task does not fit its state",
        6: "a unique key is held by a task that has no right to it",
        7: "a task is at the wrong position in its queue",
        8: "an expiry or a dependency of a task does not agree with its record",
        9: "a schedule cannot be read, or expects a tick that it must not",
        10: "a group does not become a batch when it should",
        11: "permits or lanes do not agree with the tasks that run",
        12: "the totals do not agree with a recount",
        13: "a task waits for something that will not come",
    }
)
"""What a violated invariant means to an operator, by its number."""
ADVICE: Mapping[int, str] = MappingProxyType(
    {
        1: (
            "where record and index contradict each other, read the task (client.task(id).info()), "
            "decide, and delete or revive it; a claim makes an unreadable task dead, with a reason"
        ),
        2: (
            "restore the key from a backup, or delete the task and enqueue it again; a worker moves a "
            "task without its payload or record to dead; delete unknown keys by hand, once you know "
            "who wrote them"
        ),
        3: "delete the task, or wait for its lease to run out",
        4: "it has no immediate effect; delete and enqueue again a task whose counters must be exact",
        5: "delete or revive the task",
        6: "a worker makes an unreadable holder dead; run the check again then",
        7: "delete the task and enqueue it again",
        8: "look at what the task depends on; cancel it, or enqueue it again without",
        9: "declare the schedule again: restart the app that owns it, or client.schedules().add",
        10: "start a worker that has the group's aggregator: it writes the rule again",
        11: (
            "set the limit again with queue.limit(); with more than 1,000 running tasks let some end, "
            "or pause the queue, and run the repair again"
        ),
        12: "repair what else is violated first; the totals follow",
        13: "cancel it, or enqueue it again without the dependency",
    }
)
"""What a person does about violations that `--repair` leaves, by the invariant."""
