"""A lane: the pending tasks of one limit key, with its permits, its rate, and when it opens."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import free_at, limit_of
from rediq_trio.spec.records import NO_LIMIT, Limit, QueueState, Record


@attrs.frozen
class LaneView:
    """A limit key, '' for the tasks without one."""

    target: Target
    now_ms: int
    fair: bool
    turn_now: int
    """The turn of the last claim."""
    first: int | None
    """Rank of its first pending task; None without one."""
    open: int | None
    """Its score in `lanes`; None when it is not there."""
    shut: float | None
    """When the lane opens, in ms or infinity; None when it is not shut."""
    turn: int | None
    permits: int
    active: int | None
    """How many tasks of the key are active; None if there are too many to count in one call."""
    limit: Limit | None
    """The limit that applies to the key; None when that cannot be read."""
    arrival_us: int | None


def lane_target(key: str, *raw: bytes) -> Target:
    return Target(TargetType.LANE, key, raw=raw)


def targets_of(queue: QueueState) -> Iterator[Target]:
    records = queue.records.values()
    keys = {r.limit_key for r in records if r.state in (State.PENDING, State.ACTIVE)}
    keys = {*keys, *queue.turns, *queue.limits, *queue.rates} - {""}
    return map(lane_target, ("", *sorted(keys)))


def view_of(queue: QueueState, now: int, target: Target) -> LaneView:
    """Return the view of a lane, whose permits and score follow from the records."""
    key = target.name
    first = min((r.score for r in _of(queue, State.PENDING, key)), default=None) if key else None
    active = len(_of(queue, State.ACTIVE, key)) if key else 0
    view = LaneView(
        target, now, queue.fair, queue.turn, first, open=None, shut=None, turn=queue.turns.get(key),
        permits=active, active=active, limit=limit_of(queue, key), arrival_us=queue.rates.get(key),
    )  # fmt: skip
    if first is None:
        return view
    if (till := opens_at(view)) > now:
        return attrs.evolve(view, shut=till)
    return attrs.evolve(view, open=view.turn if queue.fair else first)


def _of(queue: QueueState, state: State, key: str) -> list[Record]:
    return [r for r in queue.records.values() if r.state is state and r.limit_key == key]


def rate_bound(view: LaneView) -> int | None:
    """Return how far ahead the rate's arrival time may be, in us; None without a rate."""
    limit = view.limit
    if limit is None or not limit.count:
        return None
    return view.now_ms * 1000 + limit.tolerance_us + limit.interval_us


def opens_at(view: LaneView) -> float:
    """Return when a lane opens: infinity while as many tasks run as may, 0 or the past for now."""
    limit = view.limit or NO_LIMIT
    if 0 < limit.concurrency <= view.permits:
        return inf
    return free_at(limit, view.arrival_us or 0)


def violations_of(view: LaneView) -> Findings:
    """Check permits, rate and lane against the tasks and the limit of a key."""
    if view.active is not None and view.permits != view.active:
        yield 11, f"{view.permits} permits are out, {view.active} tasks are active"
    if view.limit is None:
        yield 11, "its limit cannot be read"
        return
    if view.arrival_us is not None:
        bound = rate_bound(view)
        if bound is None:
            yield 11, "has starts counted, and no rate"
        elif view.arrival_us > bound:
            yield 13, f"may start at {view.arrival_us} us, later than the rate says"
    if view.target.name:
        yield from _lane(view)


def _lane(view: LaneView) -> Findings:
    listed = (view.open is not None) + (view.shut is not None)
    if view.first is None:
        if listed or view.turn is not None:
            yield 13, "has a lane, or a turn, and no pending task"
        return
    if listed != 1:
        ended_as = "both open and shut" if listed else "neither open nor shut"
        yield 13, f"has pending tasks, and its lane is {ended_as}"
        return
    if view.turn is None:
        yield 13, "has pending tasks and no turn"
    till = opens_at(view)
    if view.shut is not None:
        # The next claim opens a lane that is due.
        if view.shut > view.now_ms and view.shut != till:
            yield 13, f"is shut until {view.shut:.0f}, should be until {till:.0f}"
        return
    if till > view.now_ms:
        yield 11, f"is open, should be shut until {till:.0f}"
    score = view.turn if view.fair else view.first
    if score is not None and view.open != score:
        yield 7, f"its lane is at {view.open}, should be at {score}"


def repairs_of(view: LaneView) -> Repairs:
    if view.limit is None:
        return
    if view.active is not None and view.permits != view.active:
        why = "a permit is an active task, and these were counted"
        yield Action.PERMITS, f"{view.permits} permits", f"{view.active} permits", why
    counted = view if view.active is None else attrs.evolve(view, permits=view.active)
    if next(violations_of(attrs.evolve(counted, active=None)), None) is not None:
        why = "it follows from its tasks, its permits and its limit"
        yield Action.LANE, _lane_before(view), _lane_after(counted), why


def _lane_before(view: LaneView) -> str:
    bound = rate_bound(view)
    found = [f"open at {view.open}"] * (view.open is not None)
    if view.shut is not None:
        found.append(f"shut until {view.shut:.0f}")
    if view.arrival_us is not None and (bound is None or view.arrival_us > bound):
        found.append(f"next start at {view.arrival_us} us")
    return ", ".join(found) or "no lane"


def _lane_after(view: LaneView) -> str:
    till = opens_at(view)
    if view.first is None:
        return "no lane"
    if till <= view.now_ms:
        return "open"
    return "shut while as many run as may" if till == inf else f"shut until {till:.0f}"
