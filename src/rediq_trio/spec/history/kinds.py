"""Kinds of failure: what a queue counts of the attempts that failed in the same way.

The worker that made an attempt decides which kind its failure is of, and says what a person is to
see of it (the sample). The queue reads neither: it only adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import attrs

KINDS_KEPT = 500
"""Kinds of failure that a queue keeps, those that were seen last."""
KIND_TASKS = 5
"""Tasks of which a kind of failure keeps the ids, those that failed last."""
HOURS_KEPT = 24
"""Hours of which a kind of failure keeps how many failed in each."""
HOUR_MS = 3_600_000


@attrs.frozen
class StoredKind:
    """What a queue keeps of one kind of failure."""

    count: int
    """How many attempts have failed so."""
    first_ms: int
    last_ms: int
    ids: tuple[str, ...]
    """The last tasks that failed so, the newest first."""
    sample: bytes
    """What the worker said of the first one, packed."""
    hours: tuple[int, ...] = ()
    """The last hour in which one failed, by its number since 1970, then how many failed in it, in the hour
    before it, and so on. Hours before those were not counted: the kind was not seen yet, is older than
    that, or an older version counted."""


NO_KINDS: Mapping[str, StoredKind] = MappingProxyType({})


class Failure(NamedTuple):
    """A failed attempt whose worker said of which kind it is."""

    task_id: str
    kind: str
    sample: bytes


def count_failures(
    kinds: Mapping[str, StoredKind], now: int, failures: Iterable[Failure]
) -> Mapping[str, StoredKind]:
    """Return the kinds after these failures, which are the newest, without those that are too many."""
    found = dict(kinds)
    for task_id, kind, sample in failures:
        old = found.get(kind) or StoredKind(0, now, now, (), sample)
        others = [each for each in old.ids if each != task_id]
        newest, *counts = _until(old.hours, now // HOUR_MS)
        found[kind] = StoredKind(
            old.count + 1,
            old.first_ms,
            max(old.last_ms, now),
            (task_id, *others)[:KIND_TASKS],
            old.sample,
            (newest, counts[0] + 1, *counts[1:]),
        )
    return MappingProxyType({kind: found[kind] for kind in newest_first(found)[:KINDS_KEPT]})


def _until(hours: tuple[int, ...], hour: int) -> tuple[int, ...]:
    """Return the counts of hours, with an hour as the newest. If a clock went back, the newest stays."""
    newest, *counts = hours or (hour, 0)
    passed = min(max(0, hour - newest), HOURS_KEPT)
    return (max(newest, hour), *(([0] * passed + counts)[:HOURS_KEPT]))


def newest_first(kinds: Mapping[str, StoredKind]) -> list[str]:
    """Return the names of the kinds, the one that was seen last first."""
    return sorted(kinds, key=lambda kind: (kinds[kind].last_ms, kind.encode()), reverse=True)
