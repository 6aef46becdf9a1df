"""The relay: carries messages from a queue's outbox to the queues they are for.

The keepers of a queue carry its messages, and so does each client whose call may have
written some, because a queue that nobody serves has no keeper.

Anyone may, at any time, and twice: a receiver knows the number of the last message
it took in, so each is taken in once, and in order. What a relay that dies half-way
leaves is carried by the next one.
"""

from __future__ import annotations

from itertools import groupby

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.records import Due
from rediq_trio.store.port import Store

AT_ONCE = 100
"""Messages that are carried together."""


async def relay(store: Store, queue: str) -> None:
    """Carry what waits in a queue's outbox; leave it to another relay when the server is away."""
    try:
        while (await relay_some(store, queue)).next_in_ms is not None:
            pass
    except ConnectionLost:
        pass  # a keeper carries it


async def relay_some(store: Store, queue: str, *, limit: int = AT_ONCE) -> Due:
    """Carry the oldest messages; give how many, and 0 ms when there are more, None otherwise."""
    mail = await store.outbox(queue, limit=limit)
    left = 0
    # Strictly in order: a task comes after those that wait for it, and before news of it.
    for receiver, some in groupby(mail, key=lambda message: message.queue):
        messages = list(some)
        await store.receive(receiver, queue, messages)
        left = await store.acknowledge(queue, messages[-1].seq)
    return Due(len(mail), 0 if left else None)
