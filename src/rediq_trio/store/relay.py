"""The relay: moves messages from the outbox of a queue to the queues they are for.

The keeper of a queue relays its messages. A client relays them too, after a call that may have
written some, because a queue without a worker has no keeper. For the same reason, a relay also
moves the messages that the receivers write in reply.

Any process may relay at any time, also several at once. A receiver knows the number of the last
message it has received, so each message is received once, and in order. If a relay dies half-way,
the next one continues.

A receiver refuses a task whose id exists, or whose unique key is taken. Whoever relays the message
then reports it, because the task that asked for it has completed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

import attrs

from rediq_trio._errors import ConnectionLost, Unconfirmed
from rediq_trio.spec.messages import Due, Mail
from rediq_trio.store.port import Store

RELAY_BATCH = 100
"""Messages of one round of the relay, at most."""
UNCONFIRMED_RETRY_MS = 500
"""Milliseconds until messages are relayed again that were not confirmed."""

log = logging.getLogger("rediq_trio")


@attrs.frozen
class RefusedChild:
    """A task of `enqueue_after` that was not enqueued in its queue, another than its parent's."""

    id: str
    """`"<queue>/<id>"`."""
    queue: str
    parent: str
    """The task that asked for it, which has completed: `"<queue>/<id>"`."""

    def log(self, warn: Callable[..., object]) -> None:
        """Log a warning, by the function that writes it."""
        warn(
            "task %s completed, and enqueue_after did not enqueue %s, as the id exists or its unique "
            "key is taken",
            self.parent, self.id, extra={"task_id": self.id, "queue": self.queue, "parent": self.parent},
        )  # fmt: skip


def log_refused(child: RefusedChild) -> None:
    """Log a warning about a child that was not enqueued."""
    child.log(log.warning)


ReportRefused = Callable[[RefusedChild], object]
"""Reports a child that was not enqueued."""


class ReceiverAway(ConnectionLost):
    """Another queue than the one whose messages are relayed does not answer."""

    def __init__(self, receiver: str, lost: ConnectionLost) -> None:
        super().__init__(str(lost), sent=lost.sent)
        self.receiver = receiver


async def relay(store: Store, queue: str) -> None:
    """Relay all messages in a queue's outbox; if the server is away, leave them to a keeper."""
    try:
        await _relay_all(store, (queue,), log_refused)
    except (ConnectionLost, Unconfirmed):
        pass  # a keeper relays them


async def relay_some(
    store: Store, queue: str, *, limit: int = RELAY_BATCH, report: ReportRefused = log_refused
) -> Due:
    """Relay the oldest messages; return how many, due again at 0 ms if there are more, else None.

    Raises `ReceiverAway` if it is another queue that does not answer.
    """
    try:
        mail, left = await _carry(store, queue, limit, report)
        await _relay_all(store, _receivers(mail) - {queue}, report, but=queue)
    except Unconfirmed:
        # Not acknowledged, because the receiver may lose messages that are not confirmed.
        return Due(0, UNCONFIRMED_RETRY_MS)
    return Due(len(mail), 0 if left else None)


async def _carry(
    store: Store, queue: str, limit: int, report: ReportRefused
) -> tuple[Sequence[Mail], int]:
    """Carry the oldest messages; return them, and how many are left."""
    mail = await store.outbox(queue, limit=limit)
    left = 0
    # Strictly in order: a task follows its dependents, and precedes messages about it.
    for receiver, some in groupby(mail, key=lambda message: message.queue):
        messages = list(some)
        try:
            received = await store.receive(receiver, queue, messages)
        except ConnectionLost as lost:
            if receiver == queue:
                raise
            raise ReceiverAway(receiver, lost) from lost
        if received.refused:
            for child in _refused_children(queue, messages, received.refused):
                report(child)
        left = await store.acknowledge(queue, messages[-1].seq)
    return mail, left


def _refused_children(
    sender: str, messages: Iterable[Mail], refused: Collection[int]
) -> Iterator[RefusedChild]:
    for message in messages:
        if message.seq in refused and (task := message.task) and task.parent:
            queue, parent = message.queue, f"{sender}/{task.parent}"
            yield RefusedChild(f"{queue}/{task.id}", queue, parent)


def _receivers(mail: Sequence[Mail]) -> set[str]:
    return {message.queue for message in mail}


async def _relay_all(
    store: Store, queues: Iterable[str], report: ReportRefused, *, but: str = ""
) -> None:
    """Relay all messages in the outboxes, and those that the receivers write in reply.

    The receivers may be queues without a worker. The queue `but` is left to its keeper.
    """
    waiting = dict.fromkeys(queues)
    while waiting:
        queue = next(iter(waiting))
        try:
            mail, left = await _carry(store, queue, RELAY_BATCH, report)
        except ReceiverAway:
            raise
        except ConnectionLost as lost:
            raise ReceiverAway(queue, lost) from lost
        if not left:
            del waiting[queue]
        waiting |= dict.fromkeys(sorted(_receivers(mail) - {but}))
