"""The executable specification: what the queue does, as pure functions.

Theory of operation
-------------------

A queue is one immutable value, `records.QueueState`. A rule is a function that takes a queue, the
time in whole milliseconds and its arguments, and returns the next queue and an answer. A rule reads
nothing else and changes nothing. A request that can have no effect, such as one for a task that is
gone, gets an answer that says so. Rules for many tasks take them as one batch.

`memory://` runs these functions as they are. On Redis, a script of `lua/` does the same in one
atomic step; `operations` lists every operation with its rule. Property tests drive the functions
and the scripts through the same random histories, and compare the whole queue after each step.

Inside, a rule makes a `Change` of the queue, works on that, and returns `change.done()`. `Change`
is the only place where tasks change their state, so it checks each edge against the table of
`lifecycle` and does what always follows: it frees unique keys, notifies dependents, counts, and
writes the history.

What must be true of any queue is in `spec.check`; tests check it after each step, and operators
can check a live queue.

Read in this order:

1. `lifecycle`: the states of a task, and the table of all transitions.
2. `messages`: the requests to a queue and its answers.
3. `records`: what a queue stores, in the tables of `order`, which list the tasks in their order.
4. `change`: a queue while one rule works on it.
5. `intake`, then `claim` with `order.lanes`, then `settle`: how tasks are added, how workers lease them,
   and how attempts end.
6. `upkeep`: what becomes due by time. `operate`: what callers and operators do.
7. `groups` and `schedules`: batches of small tasks, and tasks that are enqueued by a calendar.

This module only collects the rules, for modules that need all of them.
"""

from __future__ import annotations

from rediq_trio.spec.claim import claim, renew
from rediq_trio.spec.groups import batch, set_group_rules
from rediq_trio.spec.history.series import sample
from rediq_trio.spec.history.tally import tally
from rediq_trio.spec.history.trim import trim
from rediq_trio.spec.intake import enqueue, receive, requeue
from rediq_trio.spec.operate import (
    arrange,
    cancel,
    delete,
    flush,
    limit,
    pause,
    remove_queue,
    reschedule,
    resume,
    revive,
    update,
    watch,
)
from rediq_trio.spec.schedules import (
    agenda,
    declare,
    reinstate,
    retract,
    retract_others,
    suspend,
    tick,
    trigger,
)
from rediq_trio.spec.settle import remember, report, settle
from rediq_trio.spec.upkeep import acknowledge, expire, promote, purge, reclaim, unblock

__all__ = [
    "acknowledge", "agenda", "arrange", "batch", "cancel", "claim", "declare", "delete", "enqueue",
    "expire", "flush", "limit", "pause", "promote", "purge", "receive", "reclaim", "reinstate",
    "remember", "remove_queue", "renew", "report", "requeue", "reschedule", "resume", "retract",
    "retract_others", "revive", "sample", "set_group_rules", "settle", "suspend", "tally", "tick",
    "trigger", "trim", "unblock", "update", "watch",
]  # fmt: skip
