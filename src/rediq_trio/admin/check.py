"""A check of a live queue: everything in it is scanned, and each view is read in one atomic step.

Tasks move meanwhile. What is wrong in one view was wrong at one instant, so it is wrong; what
only shows between two readings is reported only where no movement explains it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from rediq_trio._errors import NewerTask
from rediq_trio.spec.check.findings import ORDER, Repair, Target, TargetType, Violation
from rediq_trio.spec.check.lane import LaneView, lane_target
from rediq_trio.spec.check.table import View, repairs_of, violations_of
from rediq_trio.spec.check.task import RecordView, task_target
from rediq_trio.spec.check.totals import (
    QueueTotals,
    counter_violations,
    key_repairs,
    key_violations,
    permit_violations,
    queue_violations,
    seq_repair,
    seq_violation,
    totals_repairs,
)
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Fence
from rediq_trio.store.port import BATCH, Store

CheckProgress = Callable[[int, int], None]
"""Is called with how many tasks were looked at, and how many there are about."""

NAMED_OFTEN = frozenset({TargetType.LANE, TargetType.GROUP, TargetType.UNIQUE, TargetType.SCHEDULE})
"""Types of targets that many structures name, and that are looked at once."""
SAMPLES = 3
"""How often the permits are compared with many active tasks."""


async def check_queue(
    store: Store, name: str, part: str, progress: CheckProgress | None
) -> list[Violation]:
    """Check a queue, or one of its partitions."""
    found = await _QueueCheck(store, part, progress).run()
    prefix = "" if part == name else f"{part}/"
    return [
        attrs.evolve(one, queue=part, subject=f"{prefix}{one.subject}")
        for one in dict.fromkeys(found)
    ]


@attrs.define(eq=False)
class _QueueCheck:
    """One check of a queue, or of one of its partitions."""

    _store: Store
    _queue: str
    _progress: CheckProgress | None
    _seen: set[Target] = attrs.field(factory=set[Target])
    _keys: set[str] = attrs.field(factory=set[str])
    """Limit keys of active tasks."""
    _crowded: set[Target] = attrs.field(factory=set[Target])
    """Limit keys whose active tasks are too many to be counted at once."""
    _ahead: dict[Target, int] = attrs.field(factory=dict[Target, int])
    """Tasks with a place that had not been given when the check began."""
    _looked: int = 0

    async def run(self) -> list[Violation]:
        report = await self._store.key_report(self._queue)
        found = list(key_violations(report))
        if report.wrong_type:
            return found  # no script can read such a queue
        before = await self._store.totals(self._queue)
        cursor = None
        while cursor != 0:
            cursor, targets = await self._store.targets(self._queue, cursor or 0)
            found += await self._look(targets, before)
        found += await self._look(map(lane_target, sorted(self._keys)), before)
        if self._crowded:
            found += await self._sample_permits()
        after = await self._store.totals(self._queue)
        ahead = self._ahead.items()
        found += [seq_violation(one, seq, after.seq) for one, seq in ahead if seq > after.seq]
        found += queue_violations(after)
        found += counter_violations(before.counters, after.counters)
        return found

    async def _look(self, targets: Iterable[Target], before: QueueTotals) -> list[Violation]:
        new = [target for target in targets if target not in self._seen]
        self._seen.update(target for target in new if target.type in NAMED_OFTEN)
        found: list[Violation] = []
        for part in _batches(new):
            for view in await self._store.views(self._queue, part):
                self._note(view, before)
                found += violations_of(view)
        return found

    def _note(self, view: View, before: QueueTotals) -> None:
        if isinstance(view, LaneView):
            if view.active is None and view.target.name:
                self._crowded.add(view.target)
            return
        if not isinstance(view, RecordView):
            return
        if view.newer:
            # Indexes and counts follow from records: without one nothing can be judged.
            raise NewerTask(f"{self._queue}/{view.target.name}", view.newer)
        self._looked += 1
        if self._progress is not None and self._looked % 100 == 0:
            self._progress(self._looked, max(self._looked, before.records))
        record = view.record
        if record is None:
            return
        if record.state is State.ACTIVE and record.limit_key:
            self._keys.add(record.limit_key)
        if record.seq > before.seq:
            self._ahead[view.target] = record.seq

    async def _sample_permits(self) -> list[Violation]:
        """Compare the permits with what is active, where that cannot be counted in one step.

        A task that is active when the permits are read was so when the first count began,
        and is in it; or was claimed since, and each such claim takes a turn. A task that
        is in the first count, and is active under the same token afterwards, was so then.
        """
        found: dict[Violation, None] = {}
        for _ in range(SAMPLES):
            first, fences, cursor = await self._turn(), dict[Fence, str](), None
            while cursor != 0:
                cursor, some = await self._store.active_leases(self._queue, cursor or 0)
                fences.update((fence, key) for fence, key in some if key)
            counts = Counter(fences.values())
            lanes = self._crowded | set(map(lane_target, counts))
            views = [
                v for part in _batches(lanes) for v in await self._store.views(self._queue, part)
            ]
            still = await self._still(fences)
            for view in views:
                if isinstance(view, LaneView):
                    key = view.target.name
                    most = counts[key] + view.turn_now - first
                    found.update(dict.fromkeys(permit_violations(view, still[key], most)))
        return list({(one.subject, one.invariant): one for one in found}.values())

    async def _turn(self) -> int:
        [view] = await self._store.views(self._queue, [next(iter(self._crowded))])
        assert isinstance(view, LaneView)
        return view.turn_now

    async def _still(self, fences: Mapping[Fence, str]) -> Counter[str]:
        # How many tasks of each key are active under the token that was seen.
        still = Counter[str]()
        tasks = map(task_target, dict.fromkeys(fence.id for fence in fences))
        for part in _batches(tasks):
            for view in await self._store.views(self._queue, part):
                record = view.record if isinstance(view, RecordView) else None
                if record is not None and record.state is State.ACTIVE:
                    key = fences.get(Fence(record.id, record.deliveries, record.nonce))
                    still.update([] if key is None else [key])
        return still


def _batches(targets: Iterable[Target]) -> Iterator[Sequence[Target]]:
    # As `Store.views` takes them: of one type, and a bounded number.
    by_type: dict[TargetType, list[Target]] = {}
    for target in targets:
        by_type.setdefault(target.type, []).append(target)
    for some in by_type.values():
        for first in range(0, len(some), BATCH):
            yield some[first : first + BATCH]


async def plan_repairs(store: Store, violations: Sequence[Violation]) -> list[Repair]:
    """Look again at what violations are about, and return what can be repaired."""
    plan: dict[Repair, None] = {}
    for queue in dict.fromkeys(one.queue for one in violations):
        here = [one for one in violations if one.queue == queue]
        for repair in await _plan(store, queue, here):
            plan[attrs.evolve(repair, queue=queue)] = None
    return sorted(plan, key=lambda repair: ORDER.index(repair.what))


async def _plan(store: Store, queue: str, violations: Sequence[Violation]) -> list[Repair]:
    report = await store.key_report(queue)
    repairs = list(key_repairs(report))
    if report.wrong_type:
        return repairs
    totals = await store.totals(queue)
    wrong = {
        one.target: None for one in violations if one.target and one.about is not TargetType.QUEUE
    }
    for part in _batches(wrong):
        for view in await store.views(queue, part):
            repairs += repairs_of(view)
            record = view.record if isinstance(view, RecordView) else None
            if record is not None and record.seq > totals.seq:
                # These totals are older than the view, so a task may be newer.
                now = await store.totals(queue)
                if record.seq > now.seq:
                    repairs.append(seq_repair(view.target, record.seq, now.seq))
    return [*repairs, *totals_repairs(await store.totals(queue))]
