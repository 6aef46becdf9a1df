"""What a worker says of a kind of failure, packed and read again."""

from __future__ import annotations

from typing import Any, cast

import attrs

from rediq_trio._errors import PayloadError
from rediq_trio.spec.history.kinds import HOUR_MS, HOURS_KEPT, KIND_TASKS, StoredKind
from rediq_trio.tasks.instants import instant
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.wire.envelope import unpack_value
from rediq_trio.wire.packing import pack


@attrs.frozen
class FailureSample:
    """What a person is to see of a kind of failure: that of the first one."""

    type: str
    error_type: str
    message: str
    place: str


_SAMPLE_FIELDS = tuple(field.name for field in attrs.fields(FailureSample))


def pack_sample(sample: FailureSample) -> bytes:
    """Pack what is kept of a failure: a map, to which a newer version may add keys."""
    return pack({name: text for name, text in attrs.asdict(sample).items() if text})


def make_failure_kind(kind: str, found: list[tuple[str, StoredKind]]) -> FailureKind:
    """Return the kind that was found in these partitions of a queue.

    What cannot be read is missing, with the reason.
    """
    newest_first = sorted(found, key=lambda pair: pair[1].last_ms, reverse=True)
    texts, unreadable = _read_sample(newest_first[0][1].sample)
    ids = [f"{queue}/{local_id}" for queue, stored in newest_first for local_id in stored.ids]
    return FailureKind(
        kind=kind,
        count=sum(stored.count for _, stored in found),
        first_seen=instant(min(stored.first_ms for _, stored in found)),
        last_seen=instant(newest_first[0][1].last_ms),
        task_ids=tuple(ids[:KIND_TASKS]),
        hours=_added_up([stored for _, stored in found]),
        unreadable=unreadable,
        **texts,
    )


def _added_up(found: list[StoredKind]) -> tuple[int, ...]:
    """Return the counts of hours of all partitions, beginning with that in which one failed last."""
    last = max(stored.last_ms for stored in found) // HOUR_MS
    counts = dict[int, int]()
    for stored in found:
        for before, number in enumerate(stored.hours[1:]):
            hour = stored.hours[0] - before
            counts[hour] = counts.get(hour, 0) + number
    oldest = max(min(counts, default=last + 1), last - HOURS_KEPT + 1)
    return tuple(counts.get(hour, 0) for hour in range(last, oldest - 1, -1))


def _read_sample(packed: bytes) -> tuple[dict[str, str | None], str | None]:
    sample: dict[str, Any] = {}
    unreadable = None
    try:
        value = unpack_value(packed, what="sample of a failure")
        sample = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    except PayloadError as error:
        unreadable = str(error)
    found = {name: sample.get(name) for name in _SAMPLE_FIELDS}
    return {
        name: text if isinstance(text, str) else None for name, text in found.items()
    }, unreadable
