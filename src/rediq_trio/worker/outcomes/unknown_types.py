"""Tasks of a type that this worker does not know, as while two versions of a program run.

Such a task is snoozed: no attempt is charged, and another worker may get it. The pauses double up to
a bound, so a task is delivered a bounded number of times in a given time. The patience counts from
the first delivery that met no handler. That instant is kept with the task, as the result of a step,
so it holds across workers and restarts and needs no field of its own. Once the patience is over,
the task is dead, unless a live worker of its queue says in its record that it knows the type.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import attrs
import trio

from rediq_trio._errors import ConnectionLost, Unconfirmed, UnknownTaskType, quote
from rediq_trio.spec.messages import Snoozed
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.task_info import read_worker_infos
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.chance import uniform
from rediq_trio.values.task import WorkerInfo
from rediq_trio.wire.batch_envelope import batch_of, open_member
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.envelope import open_envelope
from rediq_trio.wire.packing import UNPACK_ERRORS, pack, unpack
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, failed

log = logging.getLogger("rediq_trio")

SNOOZE_MIN, SNOOZE_MAX = 0.5, 30.0
"""Bounds, in seconds, of the pause until the task is delivered again."""
SNOOZE_MAX_KNOWN = 5.0
"""The upper bound, in seconds, while a live worker knows the type."""
RECORDS_FRESH = 5.0
"""Seconds for which the records of the live workers count as fresh, and at least a tenth of a second
for each worker."""
REPORTED_MAX = 1000
"""Types for which a warning is logged, at most."""
STEP = "rediq.unknown_type"
"""The name of the step whose result says since when no worker has known the type."""


def known_types(workers: Iterable[WorkerInfo], queue: str) -> frozenset[str]:
    """Return the types that the workers of a queue say they know."""
    return frozenset(
        name for worker in workers if queue in worker.queues for name in worker.types or ()
    )


@attrs.define(eq=False)
class UnknownTypes:
    """Decides what becomes of tasks whose type has no handler here."""

    store: Store
    patience: float
    """Seconds for which such a task is left to other workers; 0 for none."""
    _workers: tuple[WorkerInfo, ...] = ()
    _read_at: float = float("-inf")
    """When the records of the workers were read, on Trio's clock."""
    _reading: trio.Lock = attrs.field(factory=trio.Lock)
    _reported: set[tuple[str, frozenset[str]]] = attrs.field(factory=set)

    async def outcome(self, held: HeldLease, error: UnknownTaskType) -> AttemptOutcome:
        """Return the outcome for a task without a handler. Waits for the store until the lease is over."""
        (record,) = await until_answered(
            lambda: self.store.get(held.queue, (held.fence.id,), skip_newer=True)
        )
        if record is None or (record.deliveries, record.nonce) != (
            held.fence.deliveries,
            held.fence.nonce,
        ):
            return AttemptOutcome(held, None)
        waited = (record.started_ms - await self._since_ms(held, record)) / 1000
        types = _types_of(held)
        # No worker knows a group of several types: that takes an aggregator.
        known = len(types) == 1 and types <= known_types(
            await self._live_workers(), queue_of(held.queue)
        )
        text = f"{type(error).__name__}: {error}"
        if waited >= self.patience and not known:
            text += f" (no worker that got it in {waited:.0f} s knew it)"
            return failed(held, text, 0.0, final=True)
        held.deadline_ms = _deadline_ms(held, record)
        pause = max(SNOOZE_MIN, min(waited, SNOOZE_MAX_KNOWN if known else SNOOZE_MAX))
        pause *= uniform(0.8, 1.0)
        if held.deadline_within(pause):
            text += " (its deadline is earlier than the next delivery)"
            return failed(held, text, 0.0, final=True)
        self._report(held, types, known=known)
        return AttemptOutcome(held, Snoozed(held.fence, round(pause * 1000)))

    async def _since_ms(self, held: HeldLease, record: Record) -> int:
        """Return when the task was first delivered without a handler, by the store's clock."""
        attempt = record.attempt
        for name, packed in reversed(record.steps):
            if name == STEP and (found := _read_sighting(packed)):
                since_ms, snoozes, attempt_then = found
                # After a revival or an attempt, the patience begins anew.
                if record.snoozes > snoozes and attempt == attempt_then:
                    return since_ms
                break
        sighting = pack([record.started_ms, record.snoozes, attempt])
        try:
            await until_answered(
                lambda: self.store.remember(held.queue, held.fence, (STEP, sighting))
            )
        except Unconfirmed:
            pass  # if it is lost, the patience begins at the next delivery
        return record.started_ms

    async def _live_workers(self) -> tuple[WorkerInfo, ...]:
        """Return what the live workers said about themselves, read a few seconds ago at most."""
        async with self._reading:
            fresh = max(RECORDS_FRESH, len(self._workers) / 10)
            if trio.current_time() - self._read_at >= fresh:
                try:
                    self._workers = tuple(read_worker_infos(await self.store.workers()))
                except ConnectionLost:
                    pass  # what was read before is the best there is
                else:
                    self._read_at = trio.current_time()
            return self._workers

    def _report(self, held: HeldLease, types: frozenset[str], *, known: bool) -> None:
        key = (held.queue, types)
        if key in self._reported or len(self._reported) >= REPORTED_MAX:
            return
        self._reported.add(key)
        others = "a live worker of the queue knows it" if known else (
            "no live worker of the queue says that it knows it: deploy one, or register a handler"
        )  # fmt: skip
        log.warning(
            "queue %s has tasks of type %s, which has no handler here; they are left to other workers, "
            "without a charge, for %g s (unknown_type_patience); %s",
            held.queue, ", ".join(map(quote, sorted(types))), self.patience, others,
        )  # fmt: skip


_READ_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, TypeError, ValueError)


def _read_sighting(packed: bytes) -> tuple[int, int, int] | None:
    try:
        since_ms, snoozes, attempt = unpack(packed)
        return int(since_ms), int(snoozes), int(attempt)
    except _READ_ERRORS:
        return None


def _types_of(held: HeldLease) -> frozenset[str]:
    """Return the types of a task, or of a batch's members, which can be read."""
    packed = held.lease.envelope
    if batch := batch_of(packed):
        return frozenset(open_member(member).type for member in batch.members)
    assert isinstance(packed, bytes)
    return frozenset({open_envelope(packed).type})


def _deadline_ms(held: HeldLease, record: Record) -> int:
    packed = held.lease.envelope
    if batch_of(packed):
        return 0
    assert isinstance(packed, bytes)
    return deadline_ms(record, open_envelope(packed).deadline_ms)
