"""The executable specification: what the queue does, as pure functions.

Theory of operation
-------------------

A queue is one immutable value, `records.QueueState`. A rule is a function that takes the
queue, the time in whole milliseconds and its arguments, and returns the queue that follows
and an answer. It reads nothing else and changes nothing. Whatever a worker does for many
tasks at once takes them as one batch.

`memory://` runs these functions as they are. On Redis a script of `lua/` with the same name
does the same in one atomic step: property tests drive both through the same random histories
and compare everything after each step.

Read in this order:

1. `lifecycle`: the states of a task, and the table of all transitions.
2. `messages`: what a queue is asked and what it answers.
3. `records`: what a queue keeps.
4. `change`: a queue while one rule works on it. A task changes its state only by `Change.move`.
5. `settle`: the outcomes of attempts. Then `claim` with `lanes`, and `intake`: how tasks
   come out of a queue, and how they come in.
6. `upkeep`: what becomes due by time. `operate`: what callers and operators do.
7. `groups` and `schedules`: batches of small tasks, and tasks that a calendar makes.

This module only gathers the rules, for those that need all of them.
"""

from __future__ import annotations

from rediq_trio.spec.claim import claim, renew
from rediq_trio.spec.groups import batch, set_group_rules
from rediq_trio.spec.intake import acknowledge, enqueue, receive
from rediq_trio.spec.operate import (
    arrange,
    cancel,
    delete,
    flush,
    limit,
    pause,
    resume,
    revive,
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
from rediq_trio.spec.upkeep import expire, promote, purge, reclaim, unblock

__all__ = [
    "acknowledge", "agenda", "arrange", "batch", "cancel", "claim", "declare", "delete", "enqueue",
    "expire", "flush", "limit", "pause", "promote", "purge", "receive", "reclaim", "reinstate",
    "remember", "renew", "report", "resume", "retract", "retract_others", "revive", "set_group_rules",
    "settle", "suspend", "tick", "trigger", "unblock", "watch",
]  # fmt: skip
