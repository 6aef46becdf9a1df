"""Removing a queue that is empty, partition by partition.

A queue remembers the last message of each sender, and drops what comes again. That memory goes
too, so nothing may be on its way to the queue that it knows already: the outboxes of the senders
are read in between, and a partition is removed only if nothing came meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rediq_trio._errors import QueueNotEmpty
from rediq_trio.spec.messages import Removal
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.for_each import call_each


async def remove_queue(store: Store, name: str, partitions: Sequence[str]) -> None:
    """Remove a queue; raise as `Queue.remove` does."""
    looks = await call_each(partitions, store.remove_queue)
    for partition, look in zip(partitions, looks, strict=True):
        _check_left(partition, look.left)
    senders = sorted({*await store.queues()} | {each for look in looks for each in look.received})
    outboxes = await call_each(senders, partial(store.outbox, limit=BATCH)) if senders else []
    for sender, outbox in zip(senders, outboxes, strict=True):
        for message in outbox:
            if message.queue in partitions:
                raise QueueNotEmpty(
                    message.queue, f"a message of queue {sender} is on its way to it"
                )
    known = dict(zip(partitions, looks, strict=True))

    async def remove(partition: str) -> Removal:
        return await store.remove_queue(partition, received=known[partition].received)

    answers = await call_each(partitions, remove)
    for partition, answer in zip(partitions, answers, strict=True):
        if not answer.removed:
            _check_left(partition, answer.left)
            raise QueueNotEmpty(partition, "a message of another queue has just come")
    for partition in partitions:
        await store.note_size(partition, 0, last=True)
    if len(partitions) > 1:
        await store.set_partitions(name, 1)


_NOUNS = {
    "messages": "messages to other queues, or one just sent",
    "endings": "ended tasks whose dependents are not notified yet",
    "unique keys": "unique keys whose window is open",
}


def _check_left(partition: str, left: Mapping[str, int]) -> None:
    if left:
        parts = [f"{_NOUNS.get(name, name)}: {size:,}" for name, size in left.items()]
        raise QueueNotEmpty(partition, "; ".join(parts))
