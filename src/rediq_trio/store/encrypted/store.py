"""EncryptedStore: a store that encrypts payloads on their way to another store.

It wraps any store, and nothing else uses the keys: what goes in is encrypted, what comes out is
decrypted. A value that cannot be decrypted is replaced by one that raises `PayloadError` with the
reason when it is unpacked. So such a task becomes dead with that reason, and the worker goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio._errors import PayloadError
from rediq_trio.spec.carried import BatchEnvelope, Kept
from rediq_trio.spec.messages import (
    Agenda,
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Fence,
    NewTask,
    Outcome,
    Report,
    Schedule,
    Settled,
    Snoozed,
    Tick,
)
from rediq_trio.spec.records import Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES, TRANSITION_OF
from rediq_trio.store.encrypted.delegation import passed, wraps_what_is_carried
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.port import Store
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_envelope
from rediq_trio.wire.packing import (
    UNDECRYPTED,
    UNPACK_ERRORS,
    extension_of,
    pack,
    pack_extension,
    unpack,
)

_DECRYPT_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, AttributeError, LookupError)


def encrypt_store(store: Store, encryption: Encryption | None) -> Store:
    """Return the store, wrapped in an `EncryptedStore` if there are keys."""
    if encryption is None or isinstance(store, EncryptedStore):
        return store
    return EncryptedStore(store, encryption)


def _repacked(envelope: Envelope, payload: bytes, metadata: dict[str, str]) -> bytes:
    return pack_envelope(
        envelope.type, payload, envelope.timeout, envelope.backoff, metadata,
        envelope.deadline_ms, envelope.depends_on,
    )  # fmt: skip


@wraps_what_is_carried
class EncryptedStore:
    """A store whose envelopes, results, steps and progress are encrypted."""

    def __init__(self, store: Store, encryption: Encryption) -> None:
        self._store = store
        self._encryption = encryption

    # --- tasks

    def _encrypted_task(
        self, queue: str, task: NewTask, *, schedule: str = "", scheduled: bool = False
    ) -> NewTask:
        relations = task.relations
        target_queue = relations.queue or queue
        decrypted = open_envelope(task.envelope)
        envelope = task.envelope
        if (
            extension_of(decrypted.payload) is None
        ):  # else a schedule's, which could not be decrypted
            what = ("schedule", queue, schedule) if schedule else ("task", target_queue, task.id)
            plain = pack([decrypted.payload, dict(decrypted.metadata)])
            payload = self._encryption.encrypt(
                plain, *what, decrypted.type, deterministic=bool(schedule)
            )
            envelope = _repacked(decrypted, payload, {})
        # The unique key of a schedule's task was hashed when the schedule was declared.
        if relations.unique and not scheduled:
            relations = attrs.evolve(relations, unique=self._encryption.hash_text(relations.unique))
        return attrs.evolve(task, envelope=envelope, relations=relations)

    def _decrypted_content(
        self, carried: bytes | BatchEnvelope, queue: str, task_id: str
    ) -> bytes | BatchEnvelope:
        if not isinstance(carried, BatchEnvelope):
            return carried and self._decrypted_envelope(carried, "task", queue, task_id)
        members = [
            attrs.evolve(one, envelope=self._decrypted_envelope(one.envelope, "task", queue, one.id))
            for one in carried.members
        ]
        return attrs.evolve(carried, members=tuple(members))

    def _decrypted_envelope(self, packed: bytes, *what: str) -> bytes:
        try:
            envelope = open_envelope(packed)
        except PayloadError:
            return packed  # the worker that opens it raises the error
        try:
            decrypted = self._encryption.decrypt(envelope.payload, *what, envelope.type)
            if decrypted is envelope.payload:
                return packed
            payload, metadata = unpack(decrypted)
            return _repacked(envelope, payload, metadata)
        except _DECRYPT_ERRORS as error:
            return _repacked(envelope, _undecryptable(error), {})

    async def enqueue(
        self, queue: str, tasks: Sequence[NewTask], *, atomic: bool = False
    ) -> Enqueued:
        encrypted = [self._encrypted_task(queue, task) for task in tasks]
        return await self._store.enqueue(queue, encrypted, atomic=atomic)

    async def claim(
        self, queue: str, *, limit: int, lease_ms: int, worker: str, nonce: bytes
    ) -> Claimed:
        claimed = await self._store.claim(
            queue, limit=limit, lease_ms=lease_ms, worker=worker, nonce=nonce
        )
        leases = [
            attrs.evolve(
                lease, envelope=self._decrypted_content(lease.envelope, queue, lease.fence.id)
            )
            for lease in claimed.leases
        ]
        return attrs.evolve(claimed, leases=tuple(leases))

    async def settle(self, queue: str, outcomes: Sequence[Outcome]) -> Settled:
        return await self._store.settle(
            queue, [self._encrypted_completion(queue, one) for one in outcomes]
        )

    def _encrypted_completion(self, queue: str, one: Outcome) -> Outcome:
        match one:
            case Completed():
                result = self._encryption.encrypt(one.result, "result", f"{queue}/{one.fence.id}")
                children = tuple(self._encrypted_task(queue, child) for child in one.children)
                return attrs.evolve(one, result=result, children=children)
            case Failed() | Snoozed():
                return one
            case _ if TRANSITION_OF[type(one)] in PLAIN_OUTCOMES:
                return one
            case _:
                raise TypeError(f"it is not known what to encrypt of {type(one).__name__}")

    # --- results of steps, progress, records

    async def remember(self, queue: str, fence: Fence, step: Kept) -> bool:
        name, result = step
        encrypted = self._encryption.encrypt(result, "step", f"{queue}/{fence.id}", name)
        return await self._store.remember(queue, fence, (name, encrypted))

    async def report(self, queue: str, items: Sequence[Report]) -> tuple[bool, ...]:
        encrypted = [
            attrs.evolve(
                one,
                progress=self._encryption.encrypt(
                    one.progress, "progress", f"{queue}/{one.fence.id}"
                ),
            )
            for one in items
        ]
        return await self._store.report(queue, encrypted)

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        records = await self._store.get(queue, ids, skip_newer=skip_newer)
        return tuple(None if one is None else self._decrypted_record(queue, one) for one in records)

    def _decrypted_record(self, queue: str, record: Record) -> Record:
        task_ref = f"{queue}/{record.id}"
        return attrs.evolve(
            record,
            envelope=self._decrypted_content(record.envelope, queue, record.id),
            result=self._decrypted(record.result, "result", task_ref),
            progress=self._decrypted(record.progress, "progress", task_ref),
            steps=tuple(
                (name, self._decrypted(one, "step", task_ref, name)) for name, one in record.steps
            ),
            inputs=tuple(
                (ref, self._decrypted(one, "result", ref if "/" in ref else f"{queue}/{ref}"))
                for ref, one in record.inputs
            ),
        )

    def _decrypted(self, packed: bytes, *what: str) -> bytes:
        if not packed:
            return packed
        try:
            return self._encryption.decrypt(packed, *what)
        except PayloadError as error:
            return _undecryptable(error)

    # --- schedules

    async def declare(self, queue: str, *, schedule: Schedule) -> bool:
        # Deterministic, because a store compares it with the old one, to see whether it changed.
        template = self._encrypted_task(queue, schedule.template, schedule=schedule.name)
        return await self._store.declare(queue, schedule=attrs.evolve(schedule, template=template))

    async def agenda(self, queue: str, *, due: int = 0) -> Agenda:
        agenda = await self._store.agenda(queue, due=due)
        return attrs.evolve(
            agenda,
            schedules=tuple(self._decrypted_schedule(queue, one) for one in agenda.schedules),
        )

    def _decrypted_schedule(self, queue: str, schedule: Schedule) -> Schedule:
        template = schedule.template
        envelope = self._decrypted_envelope(template.envelope, "schedule", queue, schedule.name)
        return attrs.evolve(schedule, template=attrs.evolve(template, envelope=envelope))

    async def tick(
        self,
        queue: str,
        *,
        name: str,
        expected_ms: int,
        revision: int,
        ticks: Sequence[Tick],
        next_ms: int,
    ) -> int | None:
        encrypted = [
            attrs.evolve(tick, task=self._encrypted_task(queue, tick.task, scheduled=True))
            for tick in ticks
        ]
        return await self._store.tick(
            queue, name=name, expected_ms=expected_ms, revision=revision, ticks=encrypted,
            next_ms=next_ms,
        )  # fmt: skip

    async def trigger(self, queue: str, *, name: str, task: NewTask) -> Enqueued:
        encrypted = self._encrypted_task(queue, task, scheduled=True)
        return await self._store.trigger(queue, name=name, task=encrypted)

    # --- methods that carry nothing to encrypt, or bytes that are encrypted already

    @property
    def unconfirmed(self) -> int:
        return self._store.unconfirmed

    outbox = passed(Store.outbox)
    receive = passed(Store.receive)
    acknowledge = passed(Store.acknowledge)
    unblock = passed(Store.unblock)
    limit = passed(Store.limit)
    limits = passed(Store.limits)
    set_group_rules = passed(Store.set_group_rules)
    batch = passed(Store.batch)
    groups = passed(Store.groups)
    arrange = passed(Store.arrange)
    history = passed(Store.history)
    retract = passed(Store.retract)
    retract_others = passed(Store.retract_others)
    suspend = passed(Store.suspend)
    reinstate = passed(Store.reinstate)
    renew = passed(Store.renew)
    promote = passed(Store.promote)
    reclaim = passed(Store.reclaim)
    expire = passed(Store.expire)
    purge = passed(Store.purge)
    cancel = passed(Store.cancel)
    revive = passed(Store.revive)
    delete = passed(Store.delete)
    watch = passed(Store.watch)
    pause = passed(Store.pause)
    resume = passed(Store.resume)
    flush = passed(Store.flush)
    list = passed(Store.list)
    stats = passed(Store.stats)
    totals = passed(Store.totals)
    key_report = passed(Store.key_report)
    targets = passed(Store.targets)
    views = passed(Store.views)
    active_leases = passed(Store.active_leases)
    repair = passed(Store.repair)
    dump = passed(Store.dump)
    register = passed(Store.register)
    unregister = passed(Store.unregister)
    workers = passed(Store.workers)
    queues = passed(Store.queues)
    partitions = passed(Store.partitions)
    set_partitions = passed(Store.set_partitions)
    listen = passed(Store.listen)


def _undecryptable(error: Exception) -> bytes:
    return pack_extension(UNDECRYPTED, str(error).encode("utf-8", "replace"))
