"""The overview: reads the counts of many queues in a few calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from rediq_trio._errors import ConfigError
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import BATCH, Counts, Store
from rediq_trio.tasks.instants import instant
from rediq_trio.tasks.partitions import partitions_of
from rediq_trio.values.bounds import check_name, queue_of
from rediq_trio.values.observed.overview import Overview, QueueCounts
from rediq_trio.values.targets import NO_TARGETS, QueueTargets, make_targets


async def read_overview(store: Store, names: Iterable[str] | None) -> Overview:
    """Read the counts of these queues, or of all; see `Client.overview`."""
    wanted = await _all(store) if names is None else _checked(names)
    counted = await store.partitions()
    partitions = {
        queue: partitions_of(queue, counted.get(queue, PartitionCount()).count) for queue in wanted
    }
    flat = [each for queue in wanted for each in partitions[queue]]
    counts: dict[str, Counts] = {}
    at_ms = 0
    for first in range(0, len(flat) or 1, BATCH):
        part = flat[first : first + BATCH]
        now_ms, found = await store.overview(part)
        at_ms = at_ms or now_ms
        counts.update(zip(part, found, strict=True))
    summed = {queue: _summed([counts[each] for each in partitions[queue]]) for queue in wanted}
    return Overview(at=instant(at_ms), queues=MappingProxyType(summed))


async def _all(store: Store) -> list[str]:
    return sorted({queue_of(each) for each in await store.queues()})


def _checked(names: Iterable[str]) -> list[str]:
    found: object = names
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise ConfigError.of("names", names, "several names of queues, or None for all")
    return list(dict.fromkeys(check_name("queue", name) for name in names))


def _targets(counts: Counts) -> QueueTargets:
    return make_targets(counts.target_latency_ms, counts.target_failures_ppm)


def _summed(several: Sequence[Counts]) -> QueueCounts:
    def total(name: str) -> int:
        return sum(getattr(one.counters, name) for one in several)

    return QueueCounts(
        **{state.value: sum(one.sizes.get(state, 0) for one in several) for state in State},
        paused=all(one.paused for one in several),
        enqueued=total("enqueued"),
        completed_total=total("completed"),
        failed_total=total("failed"),
        dead_total=total("dead"),
        purged=total("purged"),
        deleted=total("deleted"),
        batched=total("batched"),
        targets=next(
            (found for each in several if (found := _targets(each)) != NO_TARGETS), NO_TARGETS
        ),
    )
