"""What misses a target of its queue is an alert."""

from __future__ import annotations

import time

import pytest

import rediq_trio as rediq
from rediq_trio.observe.alerts import LATE, alerts_of
from rediq_trio.observe.views import FAILURES_LEAST, FleetView, QueueView, look
from rediq_trio.observe.words import share
from rediq_trio.spec.messages import Completed, Failed
from rediq_trio.store.memory import MemoryStore
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import QueueStats

NOW = FleetView.empty().at


def found(age: float, latency: float | None = None) -> list[tuple[str, str]]:
    stats = QueueStats(pending=1, oldest_pending_age=age, targets=QueueTargets(latency=latency))
    queue = QueueView(name="q", at=NOW, stats=stats, workers=("w",))
    return [(each.rule, each.text) for each in alerts_of(FleetView(at=NOW, queues=(queue,)))]


def test_a_task_is_late_when_it_misses_the_target_of_its_queue() -> None:
    assert found(5, latency=5) == []
    assert found(5.1, latency=5) == [
        ("late", "its oldest pending task has waited for 5.1 s, its target is 5.0 s")
    ]
    assert found(LATE + 1, latency=600) == []
    assert found(LATE) == []
    assert found(LATE + 1) == [("late", "its oldest pending task has waited for 1 min 1 s")]


def test_failures_above_the_target_are_an_alert() -> None:
    stats = QueueStats(targets=QueueTargets(failures=0.01))
    for failures, alerted in ((None, 0), (0.01, 0), (0.011, 1)):
        queue = QueueView(name="q", at=NOW, stats=stats, workers=("w",), failures=failures)
        some = alerts_of(FleetView(at=NOW, queues=(queue,)))
        assert len(some) == alerted
    assert some[0].rule == "failing"
    assert some[0].text == "1.1 % of the last attempts failed, its target is 1 %"


@pytest.mark.parametrize("ended", [FAILURES_LEAST - 1, FAILURES_LEAST])
async def test_the_share_of_failures_is_that_of_the_last_minutes(ended: int) -> None:
    clock = [round(time.time() * 1000) - 60_000]
    store = MemoryStore(lambda: clock[0])
    async with rediq.connect(store) as client:
        assert (await look(client)).queues == ()
        await client.enqueue_many([rediq.Task("t", queue="q") for _ in range(ended)])
        await store.sample("q", known=-1, unseen_ms=0)
        claimed = await store.claim("q", limit=ended, lease_ms=10_000, worker="w", nonce=b"n" * 8)
        fences = [lease.fence for lease in claimed.leases]
        await store.settle("q", [Failed(fences[0], "no", 0, final=True)])
        await store.settle("q", [Completed(fence, b"") for fence in fences[1:]])
        clock[0] += 20_000
        await store.sample("q", known=-1, unseen_ms=0)
        [view] = (await look(client)).queues
        assert view.failures is None
        await client.queue("q").targets(failures=0.01)
        [view] = (await look(client)).queues
        assert view.failures == (None if ended < FAILURES_LEAST else 1 / FAILURES_LEAST)


def test_a_small_share_has_its_digits() -> None:
    assert [share(part) for part in (0, 0.000001, 0.005, 0.011, 0.125, 1)] == [
        "0 %", "0.0001 %", "0.5 %", "1.1 %", "12 %", "100 %",
    ]  # fmt: skip
