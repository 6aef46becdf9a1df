"""From the records of a store to the values that a user reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Place, Record, place_of
from rediq_trio.spec.stored_format import PAYLOAD_MISSING
from rediq_trio.store.port import Stats
from rediq_trio.tasks.attempts import make_attempt
from rediq_trio.tasks.changes.versions import version_of
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.instants import instant, instant_or_none
from rediq_trio.tasks.pause_note import PauseNote, read_pause_note
from rediq_trio.tasks.shown_options import options_of, payload_of
from rediq_trio.tasks.worker_details import pack_details, read_details
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.targets import NO_TARGETS, read_targets
from rediq_trio.values.task import Progress, QueueStats, TaskInfo, WorkerInfo
from rediq_trio.values.unset import UNSET_TIMEOUT
from rediq_trio.wire.batch_envelope import batch_of
from rediq_trio.wire.deadlines import deadline_ms
from rediq_trio.wire.encrypted_error import shown_error
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_value, unpack_value
from rediq_trio.wire.packing import pack

UNREADABLE_TEXT = "(unreadable)"
"""The type, or the result, of a task for which it cannot be decoded."""


def make_task_info(partition: str, record: Record) -> TaskInfo:
    """Return the `TaskInfo` of a record. Parts that cannot be decoded show as unreadable."""
    batch = _batch(record.envelope)
    carried = batch.members[0].envelope if batch else record.envelope
    assert isinstance(carried, bytes)
    envelope, unreadable = _opened(carried)
    if batch:
        # What else the first envelope says belongs to that member, not to the batch.
        envelope = Envelope(envelope.type, b"", UNSET_TIMEOUT, DEFAULT_BACKOFF, {})
    return TaskInfo(
        id=f"{partition}/{record.id}",
        queue=queue_of(partition),
        type=envelope.type,
        state=record.state,
        priority=record.priority,
        attempt=record.attempt,
        max_retry=record.max_retry,
        deliveries=record.deliveries,
        crashes=record.crashes,
        created_at=instant(record.created_ms),
        run_at=instant(record.run_ms),
        expires=instant_or_none(record.expires_ms),
        deadline=instant_or_none(deadline_ms(record, envelope.deadline_ms)),
        started_at=instant_or_none(record.started_ms),
        finished_at=instant_or_none(record.finished_ms),
        progress=read_progress(record.progress),
        result=_result(record),
        error=shown_error(record.error) or None,
        attempts=tuple(map(make_attempt, record.attempts)),
        worker=record.worker or None,
        metadata=envelope.metadata,
        workflow=envelope.workflow or None,
        depends_on=envelope.depends_on,
        group=batch.group if batch else record.group or None,
        members=tuple(f"{partition}/{member.id}" for member in batch.members) if batch else (),
        version=version_of(record, envelope),
        cursor=pack_cursor(partition, record.state, place_of(record)),
        **payload_of(batch, envelope, unreadable),
        **options_of(record, envelope),
    )


def pack_cursor(partition: str, state: State, place: Place) -> str:
    """Return a place in a list as text."""
    return f"{partition}/{place.id}|{state.value}|{place.score}|{place.lane}"


def read_cursor(text: str, state: State) -> tuple[str, Place]:
    """Return the partition and the place of a cursor of this state; raise `ConfigError` if it is none."""
    task_id, found, score, *lane = (*text.split("|", 3), "", "")
    if found != state.value or not score.isdecimal() or len(lane) != 3:
        raise ConfigError.of("after", text, f"the cursor or the id of a task that is {state.value}")
    partition, local_id = split_id(task_id)
    return partition, Place(local_id, int(score), lane[0])


def _batch(envelope: bytes | BatchEnvelope) -> BatchEnvelope | None:
    try:
        return batch_of(envelope)
    except PayloadError:
        return None


def _opened(packed: bytes) -> tuple[Envelope, str]:
    """Return an opened envelope, and why it cannot be read, '' if it can."""
    try:
        return open_envelope(packed), ""
    except PayloadError as error:
        unreadable = Envelope(UNREADABLE_TEXT, b"", UNSET_TIMEOUT, DEFAULT_BACKOFF, {})
        return unreadable, str(error) if packed else PAYLOAD_MISSING


def _result(record: Record) -> Any:
    if record.state is not State.COMPLETED or not record.result:
        return None
    try:
        return unpack_value(record.result, what="result")
    except PayloadError:
        return UNREADABLE_TEXT


def pack_progress(percent: float, message: str | None, at: float) -> bytes:
    """Pack a progress report; `at` is a Unix time in seconds."""
    return pack_value([percent, message, at], what="progress")


def read_progress(packed: bytes) -> Progress | None:
    """Return a progress report; None if there is none, or if it cannot be read."""
    if not packed:
        return None
    try:
        percent, message, at = unpack_value(packed)
        return Progress(float(percent), message, dt.datetime.fromtimestamp(at, dt.UTC))
    except (PayloadError, TypeError, ValueError, OverflowError, OSError):
        return None


def make_queue_stats(stats: Stats) -> QueueStats:
    """Return the `QueueStats` of a queue's numbers."""
    counters = stats.queue.counters
    note = read_pause_note(stats.queue.pause_note) or PauseNote(UNREADABLE_TEXT)
    return QueueStats(
        **{state.value: stats.sizes.get(state, 0) for state in State},
        paused=stats.queue.paused,
        oldest_pending_age=max(0, stats.oldest_pending_age_ms) / 1000,
        enqueued=counters.enqueued,
        completed_total=counters.completed,
        failed_total=counters.failed,
        dead_total=counters.dead,
        purged=counters.purged,
        deleted=counters.deleted,
        batched=counters.batched,
        paused_by=note.by,
        paused_reason=note.reason,
        paused_since=instant_or_none(stats.queue.paused_since_ms),
        targets=read_targets(stats.queue),
    )


_OF_THE_PAUSE = ("paused_by", "paused_reason", "paused_since")


def sum_stats(several: Sequence[QueueStats]) -> QueueStats:
    """Return the sum of the numbers of a queue's partitions."""
    if len(several) == 1:
        return several[0]
    numbers = [field.name for field in attrs.fields(QueueStats) if field.type in ("int", int)]
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in several) for name in numbers}
    sums["paused"] = all(one.paused for one in several)
    if sums["paused"]:
        # It is paused as a whole since the last of them was.
        last = max(several, key=lambda one: one.paused_since or instant(0))
        sums |= {name: getattr(last, name) for name in _OF_THE_PAUSE}
    # Partitions may differ only while they are set.
    sums["targets"] = next(
        (one.targets for one in several if one.targets != NO_TARGETS), NO_TARGETS
    )
    sums["oldest_pending_age"] = max(one.oldest_pending_age for one in several)
    return QueueStats(**sums)


NAMES_MAX, NAMES_LENGTH_MAX = 1000, 32_768
"""Bounds of the names of one sort that a worker's record carries."""


def _bounded(names: tuple[str, ...] | None) -> list[str] | None:
    if names is None or len(names) > NAMES_MAX or sum(map(len, names)) > NAMES_LENGTH_MAX:
        return None
    return list(names)


def pack_worker_info(info: WorkerInfo) -> bytes:
    """Pack a worker's record."""
    more = {"types": _bounded(info.types), "schedules": _bounded(info.schedules)}
    more |= pack_details(info)
    if info.stuck:
        more["stuck"] = list(info.stuck)
    # Older versions wrote a list of the queues and expect just these fields. They read the keys of
    # the map, so what is new is found only by those who look for it.
    queues = {queue: more if n == 0 else None for n, queue in enumerate(info.queues)}
    fields = [
        info.id, info.host, info.pid, queues, info.concurrency, info.running,
        info.started_at.timestamp(), info.last_heartbeat.timestamp(), info.version,
    ]  # fmt: skip
    return pack(fields)


def read_worker_info(packed: bytes) -> WorkerInfo:
    """Return the `WorkerInfo` of a packed record; raise `PayloadError` if it cannot be read."""
    try:
        return _read_worker_info(unpack_value(packed))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise PayloadError(f"a worker's record cannot be read: {error}") from error


def _read_worker_info(fields: Any) -> WorkerInfo:
    ident, host, pid, queues, concurrency, running, started, last, version = fields[:9]
    served = cast("dict[str, Any]", queues) if isinstance(queues, dict) else dict.fromkeys(queues)
    found = next(iter(served.values()), None)
    more = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return WorkerInfo(
        id=ident,
        host=host,
        pid=pid,
        queues=tuple(served),
        concurrency=concurrency,
        running=running,
        started_at=dt.datetime.fromtimestamp(started, dt.UTC),
        last_heartbeat=dt.datetime.fromtimestamp(last, dt.UTC),
        version=version,
        types=_names(more.get("types")),
        schedules=_names(more.get("schedules")),
        stuck=_names(more.get("stuck")) or (),
        **read_details(more),
    )


def _names(found: object) -> tuple[str, ...] | None:
    return tuple(map(str, cast("list[Any]", found))) if isinstance(found, list) else None


def read_worker_infos(packed: Iterable[bytes]) -> list[WorkerInfo]:
    """Return the `WorkerInfo` of each record that this version can read, without the others."""
    found: list[WorkerInfo] = []
    for one in packed:
        with suppress(PayloadError):
            found.append(read_worker_info(one))
    return found
