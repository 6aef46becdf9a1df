"""The relay: carries messages from a queue's outbox to the queues they are for.

The keepers of a queue carry its messages, and so does each client whose call may have
written some, because a queue that nobody serves has no keeper. For the same reason
whoever brings messages to a queue takes its answers along.

Anyone may, at any time, and twice: a receiver knows the number of the last message
it took in, so each is taken in once, and in order. What a relay that dies half-way
leaves is carried by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import attrs

from rediq_trio._errors import ConnectionLost, Unconfirmed
from rediq_trio.spec.records import Due
from rediq_trio.store.port import Store

AT_ONCE = 100
"""Messages that are carried together."""
UNCONFIRMED_MS = 500
"""When messages are carried again that were not confirmed, in ms."""


async def relay(store: Store, queue: str) -> None:
    """Carry what waits in a queue's outbox; leave it to another relay when the server is away."""
    try:
        await _relay_all(store, (queue,))
    except (ConnectionLost, Unconfirmed):
        pass  # a keeper carries it


async def relay_some(store: Store, queue: str, *, limit: int = AT_ONCE) -> Due:
    """Carry the oldest messages; give how many, and 0 ms when there are more, None otherwise."""
    try:
        carried = await _carry(store, queue, limit)
        await _relay_all(store, carried.receivers - {queue}, but=queue)
    except Unconfirmed:
        # Not acknowledged: what is received but not confirmed may be forgotten there.
        return Due(0, UNCONFIRMED_MS)
    return Due(carried.count, 0 if carried.left else None)


@attrs.frozen
class _Carried:
    count: int
    left: int
    receivers: frozenset[str]


async def _carry(store: Store, queue: str, limit: int) -> _Carried:
    mail = await store.outbox(queue, limit=limit)
    left = 0
    # Strictly in order: a task comes after those that wait for it, and before news of it.
    for receiver, some in groupby(mail, key=lambda message: message.queue):
        messages = list(some)
        await store.receive(receiver, queue, messages)
        left = await store.acknowledge(queue, messages[-1].seq)
    return _Carried(len(mail), left, frozenset(message.queue for message in mail))


async def _relay_all(store: Store, queues: Iterable[str], *, but: str = "") -> None:
    """Carry all that waits in outboxes, and what the receivers have to say to it in turn.

    They may be queues that nobody serves. `but` is left out: its keeper comes to it.
    """
    waiting = dict.fromkeys(queues)
    while waiting:
        queue = next(iter(waiting))
        carried = await _carry(store, queue, AT_ONCE)
        if not carried.left:
            del waiting[queue]
        waiting |= dict.fromkeys(sorted(carried.receivers - {but}))
