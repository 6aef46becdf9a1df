"""EncryptedStore: a store that encrypts payloads on their way to another store.

It wraps any store, and nothing else uses the keys: what goes in is encrypted, what comes out is
decrypted. A value that cannot be decrypted is replaced by one that raises `PayloadError` with the
reason when it is unpacked. So such a task becomes dead with that reason, and the worker goes on.

It passes on what carries nothing to encrypt, as `spec.operations` and `READS` say: it is an error at
import if it passes on anything else. Long, because so many methods carry something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ParamSpec, TypeVar

import attrs

from rediq_trio._errors import PayloadError
from rediq_trio.spec.carried import BatchEnvelope, Kept
from rediq_trio.spec.history.kinds import StoredKind
from rediq_trio.spec.history.logbook import LinePlace, Logbook, LogLine
from rediq_trio.spec.history.workflows import WorkflowRecord
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Agenda,
    Claimed,
    Completed,
    Enqueued,
    Failed,
    Fence,
    InState,
    NewTask,
    Outcome,
    Released,
    Report,
    Requeued,
    Schedule,
    Settled,
    Snoozed,
    Tick,
    Updated,
    Version,
)
from rediq_trio.spec.operations import Operation
from rediq_trio.spec.records import Place, Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES, TRANSITION_OF
from rediq_trio.store.audit.acting import without_actor
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.encrypted.wrapping import wraps_what_is_carried
from rediq_trio.store.patient import without_patience
from rediq_trio.store.port import Stats, Store
from rediq_trio.store.reads.description import Description
from rediq_trio.store.reads.scan import ALL, Scanned, Where
from rediq_trio.store.reads.situation import Situation
from rediq_trio.wire.encrypted_error import ciphertext_of, hidden_error, undecrypted_error
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_envelope
from rediq_trio.wire.packing import (
    UNDECRYPTED,
    UNPACK_ERRORS,
    extension_of,
    pack,
    pack_extension,
    unpack,
)

P = ParamSpec("P")
A = TypeVar("A")

_DECRYPT_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, AttributeError, LookupError)


class HashedKey(str):
    """A unique key as it was read of a task: it is hashed already."""

    __slots__ = ()


def encrypt_store(store: Store, encryption: Encryption | None) -> Store:
    """Return the store, wrapped in an `EncryptedStore` if there are keys."""
    if encryption is None or isinstance(store, EncryptedStore):
        return store
    return EncryptedStore(store, encryption)


def encryption_of(store: Store) -> Encryption | None:
    """Return the keys of a store that encrypts, whatever wraps it; None for any other."""
    store = without_actor(without_patience(store))
    return store._encryption if isinstance(store, EncryptedStore) else None


def _repacked(envelope: Envelope, payload: bytes, metadata: dict[str, str]) -> bytes:
    return pack_envelope(
        envelope.type, payload, envelope.timeout, envelope.backoff, metadata,
        envelope.deadline_ms, envelope.depends_on, max_retry_is_set=envelope.max_retry_is_set,
    )  # fmt: skip


@wraps_what_is_carried
class EncryptedStore(Store):
    """A store whose envelopes, results, steps, progress, errors, attempts and notes are encrypted."""

    def __init__(self, store: Store, encryption: Encryption) -> None:
        self._store = store
        self.product: str = getattr(store, "product", "")
        """What the server is, as the store within says."""
        self._encryption = encryption

    @property
    def unconfirmed(self) -> int:
        return self._store.unconfirmed

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        answer: A = await getattr(self._store, operation.name)(queue, *args, **kwargs)
        return answer

    def _encrypted_task(
        self, queue: str, task: NewTask, *, schedule: str = "", scheduled: bool = False
    ) -> NewTask:
        relations = task.relations
        target_queue = relations.queue or queue
        decrypted = open_envelope(task.envelope)
        envelope = task.envelope
        # Otherwise it is a schedule's, which could not be decrypted.
        if extension_of(decrypted.payload) is None:
            what = ("schedule", queue, schedule) if schedule else ("task", target_queue, task.id)
            plain = pack([decrypted.payload, decrypted.stored_metadata])
            payload = self._encryption.encrypt(
                plain, *what, decrypted.type, deterministic=bool(schedule)
            )
            envelope = _repacked(decrypted, payload, {})
        # The unique key of a schedule's task was hashed when the schedule was declared.
        hashed = scheduled or isinstance(relations.unique, HashedKey)
        if relations.unique and not hashed:
            relations = attrs.evolve(relations, unique=self._encryption.hash_text(relations.unique))
        return attrs.evolve(task, envelope=envelope, relations=relations)

    def _decrypted_content(
        self, carried: bytes | BatchEnvelope, queue: str, task_id: str
    ) -> bytes | BatchEnvelope:
        if not isinstance(carried, BatchEnvelope):
            return carried and self._decrypted_envelope(carried, "task", queue, task_id)
        members = [
            attrs.evolve(
                one, envelope=self._decrypted_envelope(one.envelope, "task", queue, one.id)
            )
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
        self,
        queue: str,
        tasks: Sequence[NewTask],
        *,
        atomic: bool = False,
        step: bool = False,
    ) -> Enqueued:
        encrypted = [self._encrypted_task(queue, task) for task in tasks]
        return await self._store.enqueue(queue, encrypted, atomic=atomic, step=step)

    async def update(
        self, queue: str, task_id: str, *, seen: Version, new: Version, expires_in_ms: int = 0
    ) -> Updated:
        stored, plain = await self._stored_envelope(queue, task_id)
        # What differs from the stored task by its envelope can only be refused: it is not sent.
        seen = attrs.evolve(seen, envelope=stored if plain == seen.envelope else b"")
        if plain == new.envelope:
            new = attrs.evolve(new, envelope=stored)
        else:
            task = self._encrypted_task(queue, NewTask(task_id, new.envelope))
            new = attrs.evolve(new, envelope=task.envelope)
        return await self._store.update(
            queue, task_id, seen=seen, new=new, expires_in_ms=expires_in_ms
        )

    async def requeue(
        self,
        queue: str,
        task_id: str,
        *,
        seen: Version,
        task: NewTask,
        still: InState | None = None,
    ) -> Requeued:
        stored, plain = await self._stored_envelope(queue, task_id)
        seen = attrs.evolve(seen, envelope=stored if plain == seen.envelope else b"")
        encrypted = self._encrypted_task(queue, task)
        return await self._store.requeue(queue, task_id, seen=seen, task=encrypted, still=still)

    async def _stored_envelope(self, queue: str, task_id: str) -> tuple[bytes, bytes]:
        """Return the envelope of a task as it is stored, and decrypted; both empty without one."""
        [record] = await self._store.get(queue, (task_id,))
        stored = b"" if record is None else record.version.envelope
        return stored, stored and self._decrypted_envelope(stored, "task", queue, task_id)

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
            case Failed():
                hidden = self._with_hidden_error(queue, self._encrypted_failure(queue, one))
                return self._encrypted_detail(queue, hidden)
            case Snoozed() | Released():
                return self._encrypted_detail(queue, one)
            case _ if TRANSITION_OF[type(one)] in PLAIN_OUTCOMES:
                return one
            case _:
                raise TypeError(f"it is not known what to encrypt of {type(one).__name__}")

    def _encrypted_detail(self, queue: str, one: Failed | Snoozed | Released) -> Outcome:
        if not one.detail:
            return one
        what = ("attempt", f"{queue}/{one.fence.id}")
        return attrs.evolve(one, detail=self._encryption.encrypt(one.detail, *what))

    def _with_hidden_error(self, queue: str, one: Failed) -> Failed:
        if not one.error:
            return one
        text = one.error.encode("utf-8", "replace")
        packed = self._encryption.encrypt(text, "error", f"{queue}/{one.fence.id}")
        return attrs.evolve(one, error=hidden_error(packed))

    def _decrypted_error(self, error: str, task_ref: str) -> str:
        # The store gives reasons too, and older versions kept errors in clear.
        packed = ciphertext_of(error)
        if packed is None:
            return error
        try:
            return self._encryption.decrypt(packed, "error", task_ref).decode()
        except (PayloadError, UnicodeDecodeError) as reason:
            return undecrypted_error(str(reason))

    def _encrypted_failure(self, queue: str, one: Failed) -> Failed:
        if not one.kind:
            return one
        # A hash of a few words could be found by trying; one with a key cannot.
        kind = self._encryption.hash_text(one.kind)[: len(one.kind)]
        return attrs.evolve(
            one, kind=kind, sample=self._encryption.encrypt(one.sample, "failure", queue)
        )

    async def failure_kinds(self, queue: str) -> Mapping[str, StoredKind]:
        kinds = await self._store.failure_kinds(queue)
        return {
            name: attrs.evolve(kind, sample=self._decrypted(kind.sample, "failure", queue))
            for name, kind in kinds.items()
        }

    async def remember(self, queue: str, fence: Fence, step: Kept) -> bool:
        name, result = step
        encrypted = self._encryption.encrypt(result, "step", f"{queue}/{fence.id}", name)
        return await self._store.remember(queue, fence, (name, encrypted))

    async def report(self, queue: str, items: Sequence[Report]) -> tuple[bool, ...]:
        def encrypted(one: Report) -> Report:
            what = ("progress", f"{queue}/{one.fence.id}")
            return attrs.evolve(one, progress=self._encryption.encrypt(one.progress, *what))

        return await self._store.report(queue, [encrypted(one) for one in items])

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        records = await self._store.get(queue, ids, skip_newer=skip_newer)
        return tuple(None if one is None else self._decrypted_record(queue, one) for one in records)

    async def description(self, queue: str, task_id: str) -> Description | None:
        return self._decrypted_description(queue, await self._store.description(queue, task_id))

    def _decrypted_description(self, queue: str, found: Description | None) -> Description | None:
        return found and attrs.evolve(found, record=self._decrypted_record(queue, found.record))

    async def situation(self, queue: str, task_id: str) -> Situation | None:
        found = await self._store.situation(queue, task_id)
        if found is None:
            return None
        note = self._decrypted(found.pause_note, "pause", queue)
        described = self._decrypted_description(queue, found.description)
        return attrs.evolve(found, pause_note=note, description=described)

    async def scan(
        self,
        queue: str,
        state: State,
        *,
        limit: int,
        after: Place | None = None,
        newest: bool = False,
        where: Where = ALL,
    ) -> Scanned:
        # A caller tests the errors: what it looks for is no business of whoever reads Redis.
        where = attrs.evolve(where, error="")
        scanned = await self._store.scan(
            queue, state, limit=limit, after=after, newest=newest, where=where
        )
        records = tuple(self._decrypted_record(queue, one) for one in scanned.records)
        return attrs.evolve(scanned, records=records)

    def _decrypted_record(self, queue: str, record: Record) -> Record:
        task_ref = f"{queue}/{record.id}"
        return attrs.evolve(
            record,
            envelope=self._decrypted_content(record.envelope, queue, record.id),
            unique=HashedKey(record.unique),
            result=self._decrypted(record.result, "result", task_ref),
            progress=self._decrypted(record.progress, "progress", task_ref),
            error=self._decrypted_error(record.error, task_ref),
            attempts=tuple(
                attrs.evolve(one, detail=self._decrypted(one.detail, "attempt", task_ref))
                for one in record.attempts
            ),
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

    async def pause(self, queue: str, note: bytes = b"") -> None:
        encrypted = note and self._encryption.encrypt(note, "pause", queue)
        await self._store.pause(queue, encrypted)

    async def stats(self, queue: str) -> Stats:
        stats = await self._store.stats(queue)
        if not stats.queue.pause_note:
            return stats
        note = self._decrypted(stats.queue.pause_note, "pause", queue)
        return attrs.evolve(stats, queue=attrs.evolve(stats.queue, pause_note=note))

    async def log(self, logbook: Logbook, *, nonce: bytes, data: bytes) -> LinePlace:
        encrypted = self._encryption.encrypt(data, logbook.value)
        return await self._store.log(logbook, nonce=nonce, data=encrypted)

    async def logged(
        self, logbook: Logbook, *, limit: int, after: LinePlace | None = None, newest: bool = False
    ) -> tuple[LogLine, ...]:
        lines = await self._store.logged(logbook, limit=limit, after=after, newest=newest)
        return tuple(
            attrs.evolve(line, data=self._decrypted(line.data, logbook.value)) for line in lines
        )

    async def keep_workflow(self, workflow_id: str, data: bytes) -> int:
        encrypted = self._encryption.encrypt(data, "workflow", workflow_id)
        return await self._store.keep_workflow(workflow_id, encrypted)

    async def workflow(self, workflow_id: str) -> WorkflowRecord | None:
        found = await self._store.workflow(workflow_id)
        return found and self._decrypted_workflow(found)

    async def workflows(
        self, *, limit: int, after: int | None = None, newest: bool = False
    ) -> tuple[WorkflowRecord, ...]:
        found = await self._store.workflows(limit=limit, after=after, newest=newest)
        return tuple(map(self._decrypted_workflow, found))

    async def due_workflows(self, *, limit: int) -> tuple[WorkflowRecord, ...]:
        return tuple(map(self._decrypted_workflow, await self._store.due_workflows(limit=limit)))

    def _decrypted_workflow(self, record: WorkflowRecord) -> WorkflowRecord:
        return attrs.evolve(record, data=self._decrypted(record.data, "workflow", record.id))

    async def declare(self, queue: str, *, schedule: Schedule) -> bool:
        # Deterministic, because a store compares it with the old one, to see whether it changed.
        template = self._encrypted_task(queue, schedule.template, schedule=schedule.name)
        return await self._store.declare(queue, schedule=attrs.evolve(schedule, template=template))

    async def agenda(self, queue: str, *, due: int = 0) -> Agenda:
        agenda = await self._store.agenda(queue, due=due)
        schedules = tuple(self._decrypted_schedule(queue, one) for one in agenda.schedules)
        return attrs.evolve(agenda, schedules=schedules)

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


def _undecryptable(error: Exception) -> bytes:
    return pack_extension(UNDECRYPTED, str(error).encode("utf-8", "replace"))
