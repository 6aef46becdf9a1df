"""Bugs that are planted in the worker, each with a directed plan that finds it.

A row says what is broken, then the module, the old text, which stands in it exactly once, and the new.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import attrs

from rediq_trio.testing.fleets.plan import Fault, FaultPlan, Work
from tests.testing.fleets.storm import OPTIONS, SECONDS


@attrs.frozen
class PlantedBug:
    """A bug of the worker, of a client or of the specification."""

    name: str
    path: str
    """The module's file, within the package."""
    old: str
    new: str


def works(*seconds: float, every: float = 1.0, type_name: str = "sleep", **how: object) -> list[Work]:
    """Return works that take so many seconds, each begun some seconds after the one before."""
    cancel_after, options = how.get("cancel_after"), dict[str, object](OPTIONS)
    actions = [] if cancel_after is None else [{"kind": "cancel", "after": cancel_after}]
    if "delay" in how:
        options["delay"] = how["delay"]
    return [
        Work(type_name, {"seconds": one}, options, at=1.0 + n * every, actions=actions)
        for n, one in enumerate(seconds)
    ]


def faults(kind: str, effect: str, seconds: float = 0.0, nths: tuple[int, ...] = (1, 2)) -> list[Fault]:
    """Return faults of three servers at the same effects of each."""
    return [
        Fault(kind=kind, host=f"w{n}", effect=effect, nth=nth, seconds=seconds)
        for n in range(3)
        for nth in nths
    ]


_ANSWERED = "            held.safe_until = asked_at + self.lease - margin(self.lease)\n"
_SETTLE = "states = await self.store.settle(queue, [outcome for _, outcome in part])"
_LISTEN = """            with self._store.listen([(self._partition, self._local_id)]) as signals:
                while True:
                    record = await self._read_until_answered()
                    if record.terminal:
                        return record
                    with trio.move_on_after(RECHECK_INTERVAL) as recheck:
                        while (await signals.receive()).kind is SignalKind.PROGRESS:
                            pass
"""
_LOOK_FIRST = """            while True:
                record = await self._read_until_answered()
                if record.terminal:
                    return record
                with self._store.listen([(self._partition, self._local_id)]) as signals:
                    with trio.move_on_after(RECHECK_INTERVAL) as recheck:
                        while (await signals.receive()).kind in (SignalKind.PROGRESS, SignalKind.RESYNC):
                            pass
                    if recheck.cancelled_caught and not reported:
                        reported = await self._report_pending(record)
"""
_LISTEN_END = """                    if recheck.cancelled_caught and not reported:
                        reported = await self._report_pending(record)
"""

BUGS: tuple[PlantedBug, ...] = (
    PlantedBug(
        "an outcome is forgotten when the connection breaks", "worker/settler.py",
        "                self.lease_table.announce_room()\n"
        "                await self.outages.wait_pause(queue)\n",
        "                [self._drop(held) for held, _ in part]\n                return\n",
    ),
    PlantedBug(
        "the last progress is not written before the outcome", "worker/settler.py",
        "            if unwritten:\n", "            if False:\n",
    ),
    PlantedBug("a waiter looks before it listens", "tasks/handle.py", _LISTEN + _LISTEN_END, _LOOK_FIRST),
    PlantedBug(
        "the answer that a task is cancelled is ignored", "worker/heartbeat.py",
        "                if verdict is Verdict.CANCEL:\n", "                if False:\n",
    ),
    PlantedBug(
        "a stop does not cancel its handlers", "worker/executor.py",
        "        for held in self._running:\n            held.cancel(Reason.SHUTDOWN)\n", "        pass\n",
    ),
    PlantedBug(
        "the keeper hardly ever reclaims", "worker/keeping/keeper.py",
        "RECLAIM_MAX_SLEEP = 4.0", "RECLAIM_MAX_SLEEP = 900.0",
    ),
    PlantedBug(
        "a claim under way is given up by a stop", "worker/poller.py",
        "scope = trio.CancelScope(shield=True, deadline=asked_at + CLAIM_DEADLINE)",
        "scope = trio.CancelScope(deadline=asked_at + CLAIM_DEADLINE)",
    ),
    PlantedBug(
        "nobody watches the end of a lease", "worker/heartbeat.py",
        "            nursery.start_soon(self._watch_clock)\n", "",
    ),
    PlantedBug(
        "the answer that a lease is lost is ignored", "worker/heartbeat.py",
        "                if not held.settled and self.lease_table.get(*held.key) is held:\n"
        "                    self._mark_lost(held)\n",
        "                pass\n",
    ),
    PlantedBug(
        "leases are reclaimed 3 s early", "spec/upkeep.py",
        "lapsed = first_tasks(queue, State.ACTIVE, limit, until=now)",
        "lapsed = first_tasks(queue, State.ACTIVE, limit, until=now + 3000)",
    ),
    PlantedBug(
        "a lease is counted from the answer", "worker/heartbeat.py",
        "    " + _ANSWERED, "                held.safe_until = trio.current_time() + self.lease\n",
    ),
    PlantedBug(
        "a lease leaves the table before its outcome is written", "worker/settler.py",
        _SETTLE, f"[self.lease_table.drop(held) for held, _ in part]; {_SETTLE}",
    ),
    PlantedBug(
        "one more is claimed than there is room for", "worker/poller.py",
        "self.lease_table.slots.lending - len(self.lease_table)\n        if",
        "self.lease_table.slots.lending - len(self.lease_table) + 1\n        if",
    ),
    PlantedBug(
        "a handler begins on a lease that is over", "worker/executor.py",
        "            if held.is_over(now):\n", "            if False:\n",
    ),
    PlantedBug(
        "the specification takes an older token", "spec/claim.py",
        "if record is None or (record.deliveries, record.nonce) != (fence.deliveries, fence.nonce):",
        "if record is None:",
    ),
)  # fmt: skip


def _plan(some_works: list[Work], some_faults: list[Fault]) -> FaultPlan:
    return FaultPlan(servers=3, seconds=SECONDS, noise=True, works=some_works, faults=some_faults)


_SHORT = works(*[0.5] * 20)
_LONG = works(*[55.0] * 4)

DIRECTED: Mapping[str, FaultPlan] = {
    BUGS[0].name: _plan(_SHORT, faults("lose_before", "complete")),
    BUGS[1].name: _plan(works(*[0.5] * 10, type_name="progress"), []),
    BUGS[2].name: _plan(works(*[0.0] * 120, every=0.5), []),
    BUGS[3].name: _plan(works(*[20.0] * 6, cancel_after=1.0), []),
    BUGS[4].name: _plan(_LONG, [Fault(kind="deploy", host=f"w{n}", at=20.0) for n in range(3)]),
    BUGS[5].name: _plan(_LONG, [Fault(kind="kill", host="w0", effect="claim", seconds=90.0)]),
    BUGS[6].name: _plan(_SHORT, faults("deploy", "claim")),
    BUGS[7].name: _plan(works(*[55.0] * 10, every=0.1), faults("cut", "renew", 50.0, (1,))[:2]),
    BUGS[8].name: _plan(
        works(*[55.0] * 4, every=0.1, delay=5.0), [Fault(kind="failover", host="w0", at=8.0, seconds=4.0)]
    ),
    BUGS[9].name: _plan(_LONG, [Fault(kind="kill", host="w0", effect="claim", seconds=90.0)]),
    BUGS[10].name: _plan(
        works(*[55.0] * 10, every=0.1),
        faults("slow", "renew", 8.0, (1,))[:2]
        + [Fault(kind="cut", host=f"w{n}", at=19.0, seconds=60.0) for n in range(2)],
    ),
    BUGS[11].name: _plan(works(*[0.01] * 60, every=0.0), []),
    BUGS[12].name: _plan(works(*[5.0] * 30, every=0.1), []),
    BUGS[13].name: _plan(works(*[5.0] * 12, every=0.2), faults("freeze", "claim", 45.0)[:4]),
    BUGS[14].name: _plan(works(*[25.0] * 6), faults("freeze", "step", 45.0, (1,))[:2]),
}
"""A plan for each bug, by its name."""


def shuffled(plan: FaultPlan, seed: int) -> FaultPlan:
    """Return the same plan with the noise of another seed, and other times of its works."""
    random = Random(seed)
    moved = [attrs.evolve(work, at=work.at + random.random()) for work in plan.works]
    return attrs.evolve(plan, seed=seed, works=moved)
