"""The relay: moves messages from the outbox of a queue to the queues they are for.

The keeper of a queue relays its messages. A client relays them too, after a call that may have
written some, because a queue without a worker has no keeper. For the same reason, a relay also
moves the messages that the receivers write in reply.

Any process may relay at any time, also several at once. A receiver knows the number of the last
message it has received, so each message is received once, and in order. If a relay dies half-way,
the next one continues.

A receiver answers which tasks died because of one that they need, and whoever relays the message logs
them. So does a caller whose cancel or delete they died by; if an answer is lost, `PatientStore` finds
them when it repeats the call. Nobody logs them if the caller gives up before it has an answer. A
receiver refuses a task whose id exists, or whose unique key is taken. Whoever relays the message then
reports it, because the task that asked for it has completed, and notes it with that task. If it dies
between the two, the note is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

import attrs
import trio

from rediq_trio._errors import ConnectionLost, RediqError, Unconfirmed
from rediq_trio.spec.change import death_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Death, Due, Mail
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.values.bounds import queue_of
from rediq_trio.wire.batch_envelope import type_in

RELAY_BATCH = 100
"""Messages of one round of the relay, at most."""
READ_WITHIN = 2.0
"""Seconds that reading the type of a dead task may take; then it is logged without."""
DEATHS_LOGGED = 10
"""Deaths that the relay of one client's call logs, each by itself."""
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
    may_exist: bool = False
    """The parent expected that (`on_conflict="return"`): it is not logged."""

    def log(self, warn: Callable[..., object]) -> None:
        """Log a warning, by the function that writes it, unless the task may exist."""
        if self.may_exist:
            return
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


async def log_deaths(store: Store, deaths: Sequence[tuple[str, Death]]) -> None:
    """Log the deaths of tasks, each with its queue; their types are read, if they can be."""
    left = list(deaths[:DEATHS_LOGGED])
    try:
        while left:
            queue, death = left[0]
            record = None
            with suppress(RediqError), trio.move_on_after(READ_WITHIN):
                (record,) = await store.get(queue, (death.id,), skip_newer=True)
            _log_death(*left.pop(0), record)
    finally:
        # After a cancellation.
        for queue, death in left:
            _log_death(queue, death, None)
        if len(deaths) > DEATHS_LOGGED:
            more = len(deaths) - DEATHS_LOGGED
            log.error("%d more tasks died because of one that they need", more)


async def log_dead(store: Store, queue: str, ids: Sequence[str]) -> None:
    """Log the deaths of those tasks that are dead, although no attempt of them was made."""
    records: Sequence[Record | None] = ()
    with suppress(RediqError):
        records = await store.get(queue, ids, skip_newer=True)
    dead = [one for one in records if one is not None and one.state is State.DEAD]
    await log_deaths(store, [(queue, death_of(one)) for one in dead])


def _log_death(queue: str, death: Death, record: Record | None) -> None:
    task_id, name = f"{queue}/{death.id}", (record and type_in(record.envelope)) or "(unreadable)"
    fields = {"task_id": task_id, "type": name, "queue": queue_of(queue), "attempt": death.attempt}
    # Without the control characters that anyone may have written to Redis.
    shown, kind, reason = (repr(text)[1:-1] for text in (task_id, name, death.reason))
    log.error(
        "task %s (%s), attempt %d: dead: %s", shown, kind, death.attempt, reason, extra=fields
    )


ReportDeaths = Callable[[str, Sequence[Death]], object]
"""Reports tasks of a queue that died because of one that they need."""


class ReceiverAway(ConnectionLost):
    """Another queue than the one whose messages are relayed does not answer."""

    def __init__(self, receiver: str, lost: ConnectionLost) -> None:
        super().__init__(str(lost), sent=lost.sent)
        self.receiver = receiver


async def relay(store: Store, queue: str, died: Sequence[Death] = ()) -> None:
    """Relay all messages in a queue's outbox; if the server is away, leave them to a keeper.

    `died` are tasks of the queue that died by the call that comes before: they are logged too.
    """
    deaths = [(queue, one) for one in died]
    try:
        try:
            await _relay_all(
                store,
                (queue,),
                log_refused,
                lambda name, some: deaths.extend((name, one) for one in some),
            )
        finally:
            await log_deaths(store, deaths)
    except (ConnectionLost, Unconfirmed):
        pass  # a keeper relays them


async def relay_some(
    store: Store,
    queue: str,
    *,
    limit: int = RELAY_BATCH,
    report: ReportRefused = log_refused,
    report_deaths: ReportDeaths = lambda _queue, _deaths: None,
) -> Due:
    """Relay the oldest messages; return how many, due again at 0 ms if there are more, else None.

    Raises `ReceiverAway` if it is another queue that does not answer.
    """
    try:
        mail, left = await _carry(store, queue, limit, report, report_deaths)
        await _relay_all(store, _receivers(mail, but=queue), report, report_deaths, but=queue)
    except Unconfirmed:
        # Not acknowledged, because the receiver may lose messages that are not confirmed.
        return Due(0, UNCONFIRMED_RETRY_MS)
    return Due(len(mail), 0 if left else None)


async def _carry(
    store: Store, queue: str, limit: int, report: ReportRefused, report_deaths: ReportDeaths
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
        refused = list(_refused_children(queue, messages, received.refused))
        for child in refused:
            report(child)
        if received.deaths:
            report_deaths(receiver, received.deaths)
        pairs = [(child.parent.rpartition("/")[2], child.id) for child in refused]
        left = await store.acknowledge(queue, messages[-1].seq, refused=pairs)
    return mail, left


def _refused_children(
    sender: str, messages: Iterable[Mail], refused: Collection[int]
) -> Iterator[RefusedChild]:
    for message in messages:
        if message.seq in refused and (task := message.task) and task.parent:
            queue, parent = message.queue, f"{sender}/{task.parent}"
            yield RefusedChild(f"{queue}/{task.id}", queue, parent, task.may_exist)


def _receivers(mail: Sequence[Mail], *, but: str) -> list[str]:
    return sorted({message.queue for message in mail} - {but})


async def _relay_all(
    store: Store,
    queues: Iterable[str],
    report: ReportRefused,
    report_deaths: ReportDeaths,
    *,
    but: str = "",
) -> None:
    """Relay all messages in the outboxes, and those that the receivers write in reply.

    The receivers may be queues without a worker. The queue `but` is left to its keeper.
    """
    waiting = dict.fromkeys(queues)
    while waiting:
        queue = next(iter(waiting))
        try:
            mail, left = await _carry(store, queue, RELAY_BATCH, report, report_deaths)
        except ReceiverAway:
            raise
        except ConnectionLost as lost:
            raise ReceiverAway(queue, lost) from lost
        if not left:
            del waiting[queue]
        waiting |= dict.fromkeys(_receivers(mail, but=but))
