"""The relay: moves messages from the outbox of a queue to the queues they are for.

The keeper of a queue relays its messages. A client relays them too, after a call that may have
written some, because a queue without a worker has no keeper. For the same reason, a relay also
moves the messages that the receivers write in reply.

Any process may relay at any time, also several at once. A receiver knows the number of the last
message it has received, so each message is received once, and in order. If a relay dies half-way,
the next one continues.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import attrs

from rediq_trio._errors import ConnectionLost, Unconfirmed
from rediq_trio.spec.messages import Due
from rediq_trio.store.port import Store

RELAY_BATCH = 100
"""Messages of one round of the relay, at most."""
UNCONFIRMED_RETRY_MS = 500
"""Milliseconds until messages are relayed again that were not confirmed."""


async def relay(store: Store, queue: str) -> None:
    """Relay all messages in a queue's outbox; if the server is away, leave them to a keeper."""
    try:
        await _relay_all(store, (queue,))
    except (ConnectionLost, Unconfirmed):
        pass  # a keeper relays them


async def relay_some(store: Store, queue: str, *, limit: int = RELAY_BATCH) -> Due:
    """Relay the oldest messages; return how many, due again at 0 ms if there are more, else None."""
    try:
        carried = await _carry(store, queue, limit)
        await _relay_all(store, carried.receivers - {queue}, but=queue)
    except Unconfirmed:
        # Not acknowledged, because the receiver may lose messages that are not confirmed.
        return Due(0, UNCONFIRMED_RETRY_MS)
    return Due(carried.count, 0 if carried.left else None)


@attrs.frozen
class _Carried:
    count: int
    left: int
    receivers: frozenset[str]


async def _carry(store: Store, queue: str, limit: int) -> _Carried:
    mail = await store.outbox(queue, limit=limit)
    left = 0
    # Strictly in order: a task follows its dependents, and precedes messages about it.
    for receiver, some in groupby(mail, key=lambda message: message.queue):
        messages = list(some)
        await store.receive(receiver, queue, messages)
        left = await store.acknowledge(queue, messages[-1].seq)
    return _Carried(len(mail), left, frozenset(message.queue for message in mail))


async def _relay_all(store: Store, queues: Iterable[str], *, but: str = "") -> None:
    """Relay all messages in the outboxes, and those that the receivers write in reply.

    The receivers may be queues without a worker. The queue `but` is left to its keeper.
    """
    waiting = dict.fromkeys(queues)
    while waiting:
        queue = next(iter(waiting))
        carried = await _carry(store, queue, RELAY_BATCH)
        if not carried.left:
            del waiting[queue]
        waiting |= dict.fromkeys(sorted(carried.receivers - {but}))
