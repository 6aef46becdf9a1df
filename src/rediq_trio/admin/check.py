"""A check of a live queue: every structure is swept, every picture is read in one atomic step.

Tasks move while it looks. What is wrong in one picture was wrong at one instant, so it is
wrong; what only shows between two readings is said only where no movement explains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from rediq_trio._errors import NewerTask
from rediq_trio.spec.check.invariants import (
    Listing,
    Violation,
    queue_violations,
    total_violations,
)
from rediq_trio.spec.check.repairs import (
    ORDER,
    Repair,
    listing_repairs,
    repairs_of,
    seq_repair,
    shape_repairs,
)
from rediq_trio.spec.check.structure_invariants import (
    permit_violations,
    shape_violations,
    sight_violations,
)
from rediq_trio.spec.check.views import Kind, LanePicture, Picture, Sight, Subject
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import BATCH, Store

Progress = Callable[[int, int], None]
"""Is told how many tasks were looked at, and how many there are about."""

ONCE = frozenset({Kind.LANE, Kind.GROUP, Kind.UNIQUE, Kind.SCHEDULE})
"""Kinds that many structures name, and that are looked at once."""
SAMPLES = 3
"""How often the permits are compared with many active tasks."""


async def check_place(
    store: Store, name: str, place: str, progress: Progress | None
) -> list[Violation]:
    """Check a queue, or one of its partitions."""
    found = await _Check(store, place, progress).run()
    prefix = "" if place == name else f"{place}/"
    return [
        attrs.evolve(one, queue=place, subject=f"{prefix}{one.subject}")
        for one in dict.fromkeys(found)
    ]


def _about(subject: Subject, violations: Iterable[Violation]) -> Iterator[Violation]:
    return (attrs.evolve(one, about=subject) for one in violations)


class _Check:
    """One check of one place."""

    def __init__(self, store: Store, place: str, progress: Progress | None) -> None:
        self._store = store
        self._place = place
        self._progress = progress
        self._seen: set[Subject] = set()
        self._keys: set[str] = set()
        """Limit keys of active tasks."""
        self._crowded: dict[str, Subject] = {}
        """Limit keys whose active tasks are too many to be counted at once."""
        self._ahead: dict[Subject, int] = {}
        """Tasks with a place that had not been given when the check began."""
        self._looked = 0

    async def run(self) -> list[Violation]:
        shape = await self._store.shape(self._place)
        found = list(shape_violations(shape))
        if shape.odd:
            return found  # no script can read such a queue
        before = await self._store.listing(self._place)
        found += await self._sweep(before)
        late = [Subject(Kind.LANE, key, raw=(key.encode(),)) for key in sorted(self._keys)]
        found += await self._look([lane for lane in late if lane not in self._seen], before)
        if self._crowded:
            found += await self._sample_permits()
        after = await self._store.listing(self._place)
        for subject, seq in self._ahead.items():
            if seq > after.seq:
                text = f"has the place {seq}, and {after.seq} was the last given"
                found.append(Violation(7, subject.name, text, subject))
        found += queue_violations(attrs.evolve(after, with_ttl=()))
        found += total_violations(before.counters, after.counters)
        return found

    async def _sweep(self, before: Listing) -> list[Violation]:
        found: list[Violation] = []
        cursor = 0
        while True:
            cursor, subjects = await self._store.subjects(self._place, cursor)
            found += await self._look([s for s in subjects if s not in self._seen], before)
            if cursor == 0:
                return found

    async def _look(self, subjects: Sequence[Subject], before: Listing) -> list[Violation]:
        found: list[Violation] = []
        by_kind: dict[Kind, list[Subject]] = {}
        for subject in subjects:
            by_kind.setdefault(subject.kind, []).append(subject)
            if subject.kind in ONCE:
                self._seen.add(subject)
        for some in by_kind.values():
            for first in range(0, len(some), BATCH):
                part = some[first : first + BATCH]
                sights = await self._store.examine(self._place, part)
                for subject, sight in zip(part, sights, strict=True):
                    self._note(subject, sight, before)
                    found += _about(subject, sight_violations(sight))
        return found

    def _note(self, subject: Subject, sight: Sight, before: Listing) -> None:
        if isinstance(sight, LanePicture):
            if sight.active is None and subject.name:
                self._crowded[subject.name] = subject
            return
        if not isinstance(sight, Picture):
            return
        if sight.newer:
            # Indexes and counts follow from records: without one nothing can be judged.
            raise NewerTask(f"{self._place}/{sight.id}", sight.newer)
        self._looked += 1
        if self._progress is not None and self._looked % 100 == 0:
            self._progress(self._looked, max(self._looked, before.records))
        record = sight.record
        if record is None:
            return
        if record.state is State.ACTIVE and record.limit_key:
            self._keys.add(record.limit_key)
        if record.seq > before.seq:
            self._ahead[subject] = record.seq

    async def _sample_permits(self) -> list[Violation]:
        """Compare the permits with what is active, where that cannot be counted in one step.

        A task that is active when the permits are read was so when the first count began,
        and is in it; or was claimed since, and each such claim takes a turn. A task that
        is in the first count, and is active under the same token afterwards, was so then.
        """
        found: dict[Violation, None] = {}
        for _ in range(SAMPLES):
            first, counts, fences = await self._turn(), Counter[str](), list[tuple[str, str, object]]()
            cursor = 0
            while True:
                cursor, some = await self._store.running(self._place, cursor)
                for fence, key in dict.fromkeys(some):
                    if key:
                        counts[key] += 1
                        fences.append((fence.id, key, (fence.deliveries, fence.nonce)))
                if cursor == 0:
                    break
            lanes = dict(self._crowded)
            for key in counts:
                lanes.setdefault(key, Subject(Kind.LANE, key, raw=(key.encode(),)))
            sights = await self._examine(list(lanes.values()))
            still = await self._still(fences)
            for sight in sights:
                if isinstance(sight, LanePicture):
                    most = counts[sight.subject.name] + sight.turn_now - first
                    wrong = permit_violations(sight, still[sight.subject.name], most)
                    found.update(dict.fromkeys(wrong))
        return list({(one.subject, one.invariant): one for one in found}.values())

    async def _turn(self) -> int:
        [sight] = await self._examine([next(iter(self._crowded.values()))])
        assert isinstance(sight, LanePicture)
        return sight.turn_now

    async def _examine(self, subjects: list[Subject]) -> list[Sight]:
        found: list[Sight] = []
        for first in range(0, len(subjects), BATCH):
            found += await self._store.examine(self._place, subjects[first : first + BATCH])
        return found

    async def _still(self, fences: list[tuple[str, str, object]]) -> Counter[str]:
        still = Counter[str]()
        for first in range(0, len(fences), BATCH):
            part = fences[first : first + BATCH]
            pictures = await self._store.pictures(self._place, [own for own, _, _ in part])
            for (_, key, token), picture in zip(part, pictures, strict=True):
                record = picture.record
                if record is not None and record.state is State.ACTIVE:
                    still[key] += (record.deliveries, record.nonce) == token
        return still


async def plan_repairs(store: Store, violations: Sequence[Violation]) -> list[Repair]:
    """Look again at what violations are about, and give what can be put right."""
    plan: dict[Repair, None] = {}
    for place in dict.fromkeys(one.queue for one in violations):
        here = [one for one in violations if one.queue == place]
        for repair in await _plan(store, place, here):
            plan[attrs.evolve(repair, queue=place)] = None
    return sorted(plan, key=lambda repair: ORDER.index(repair.what))


async def _plan(store: Store, place: str, violations: Sequence[Violation]) -> list[Repair]:
    shape = await store.shape(place)
    repairs = list(shape_repairs(shape))
    if shape.odd:
        return repairs
    listing = await store.listing(place)
    by_kind: dict[Kind, dict[Subject, None]] = {}
    for about in (one.about for one in violations):
        if about is not None and about.kind is not Kind.QUEUE:
            by_kind.setdefault(about.kind, {})[about] = None
    for subjects in by_kind.values():
        some = list(subjects)
        for first in range(0, len(some), BATCH):
            for sight in await store.examine(place, some[first : first + BATCH]):
                repairs += repairs_of(sight)
                record = sight.record if isinstance(sight, Picture) else None
                if record is not None and record.seq > listing.seq:
                    # The listing is older than the picture, so a task may be newer.
                    now = await store.listing(place)
                    if record.seq > now.seq:
                        repairs.append(seq_repair(record.id, record.seq, now.seq))
    return [*repairs, *listing_repairs(await store.listing(place))]

