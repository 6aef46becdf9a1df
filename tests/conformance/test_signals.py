"""Signals: hints that something changed. A store may give more of them, never fewer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Released, Report, Stopped
from rediq_trio.store.broadcast import Signal, SignalKind

from .bench import LEASE, Bench, Q, failed, heard, snoozed

Channel = trio.MemoryReceiveChannel[Signal]


@asynccontextmanager
async def listening(bench: Bench, task_id: str = "") -> AsyncIterator[Channel]:
    """Listen, and wait until the signals arrive."""
    with bench.store.listen([(Q, task_id)]) as signals:
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.RESYNC)
        yield signals


async def test_listening_begins_with_a_resync_for_each_queue(bench: Bench) -> None:
    with bench.store.listen([("a", ""), ("b", "t")]) as signals, trio.fail_after(10):
        first = {await signals.receive(), await signals.receive()}
    assert first == {Signal("a", SignalKind.RESYNC), Signal("b", SignalKind.RESYNC)}


async def test_a_second_listener_begins_with_a_resync_too(bench: Bench) -> None:
    async with listening(bench), listening(bench):
        pass


async def test_an_enqueue_into_an_empty_queue_wakes(bench: Bench) -> None:
    async with listening(bench) as signals:
        await bench.add("t")
        assert await heard(signals, SignalKind.WAKE) == Signal(Q, SignalKind.WAKE)


async def test_a_task_scheduled_to_be_the_first_due_is_told(bench: Bench) -> None:
    await bench.add("late", delay_ms=500)
    async with listening(bench) as signals:
        await bench.add("sooner", delay_ms=100)
        await heard(signals, SignalKind.DUE)


async def test_a_retry_that_is_the_first_due_is_told(bench: Bench) -> None:
    fence = await bench.active()
    async with listening(bench) as signals:
        await bench.store.settle(Q, [failed(fence)])
        await heard(signals, SignalKind.DUE)


async def test_a_snooze_that_is_the_first_due_is_told(bench: Bench) -> None:
    fence = await bench.active()
    async with listening(bench) as signals:
        await bench.store.settle(Q, [snoozed(fence)])
        await heard(signals, SignalKind.DUE)


async def test_one_call_tells_once_of_tasks_that_are_the_first_due(bench: Bench) -> None:
    async with listening(bench) as signals:
        await bench.add("c", "b", "a", delay_ms=5)
        await bench.store.flush(Q)
        found: list[SignalKind] = []
        with trio.fail_after(10):
            while SignalKind.FLUSH not in found:
                found.append((await signals.receive()).kind)
    assert found.count(SignalKind.DUE) == 1


async def test_a_promotion_wakes(bench: Bench) -> None:
    await bench.add("t", delay_ms=5)
    bench.clock.advance(5)
    async with listening(bench) as signals:
        await bench.store.promote(Q, limit=1)
        await heard(signals, SignalKind.WAKE)


async def test_a_release_wakes(bench: Bench) -> None:
    fence = await bench.active()
    async with listening(bench) as signals:
        await bench.store.settle(Q, [Released(fence)])
        await heard(signals, SignalKind.WAKE)


async def test_a_reclaim_wakes(bench: Bench) -> None:
    await bench.active()
    bench.clock.advance(LEASE)
    async with listening(bench) as signals:
        await bench.store.reclaim(Q, limit=1)
        await heard(signals, SignalKind.WAKE)


async def test_a_revival_wakes(bench: Bench) -> None:
    await bench.ended("t", State.DEAD)
    async with listening(bench) as signals:
        await bench.store.revive(Q, ["t"])
        await heard(signals, SignalKind.WAKE)


async def test_a_resume_wakes_and_a_pause_does_not(bench: Bench) -> None:
    async with listening(bench) as signals:
        # Not before: in a Cluster, what was sent before someone listened may still come.
        await bench.add("t")
        await heard(signals, SignalKind.WAKE)
        await bench.store.pause(Q)
        await bench.store.flush(Q)
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.FLUSH)
        await bench.store.resume(Q)
        await heard(signals, SignalKind.WAKE)


async def test_a_cancel_of_an_active_task_is_told_to_its_worker(bench: Bench) -> None:
    await bench.active()
    async with listening(bench) as signals:
        await bench.store.cancel(Q, "t")
        assert await heard(signals, SignalKind.CANCEL, "t") == Signal(Q, SignalKind.CANCEL, "t")


async def test_a_flush_is_told(bench: Bench) -> None:
    await bench.add("t")
    async with listening(bench) as signals:
        await bench.store.flush(Q)
        await heard(signals, SignalKind.FLUSH)


@pytest.mark.parametrize(
    "end", ["complete", "fail", "stop", "expire", "claim", "cancel", "reclaim", "delete"]
)
async def test_whoever_waits_for_a_task_hears_of_its_end(bench: Bench, end: str) -> None:
    await bench.add("t", expires_in_ms=10 * LEASE, max_crashes=0, retention_ms=0)
    assert await bench.store.watch(Q, "t") is State.PENDING
    async with listening(bench, "t") as signals:
        match end:
            case "delete":
                await bench.store.delete(Q, ["t"])
            case "cancel":
                await bench.store.cancel(Q, "t")
            case "expire" | "claim":
                bench.clock.advance(10 * LEASE)
                await bench.take() if end == "claim" else await bench.store.expire(Q, limit=1)
            case _:
                await end_attempt(bench, end)
        await heard(signals, SignalKind.DONE, "t")


async def test_whoever_reads_an_ended_task_hears_that_it_is_deleted(bench: Bench) -> None:
    await bench.add("t")
    await bench.store.watch(Q, "t")
    await end_attempt(bench, "complete")
    async with listening(bench, "t") as signals:
        await bench.store.delete(Q, ["t"])
        await heard(signals, SignalKind.DONE, "t")


async def end_attempt(bench: Bench, end: str) -> None:
    [lease] = await bench.take()
    match end:
        case "complete":
            await bench.store.settle(Q, [Completed(lease.fence, b"r")])
        case "fail":
            await bench.store.settle(Q, [failed(lease.fence, final=True)])
        case "stop":
            await bench.store.cancel(Q, "t")
            await bench.store.settle(Q, [Stopped(lease.fence)])
        case _:
            bench.clock.advance(LEASE)
            await bench.store.reclaim(Q, limit=1)


async def test_whoever_waits_for_a_task_hears_of_its_progress(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.watch(Q, "t")
    async with listening(bench, "t") as signals:
        await bench.store.report(Q, [Report(fence, b"p")])
        await heard(signals, SignalKind.PROGRESS, "t")


async def test_of_a_task_that_nobody_waits_for_nothing_is_told(bench: Bench) -> None:
    with bench.store.listen([(Q, "t"), (Q, "")]) as signals:
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.RESYNC)
        fence = await bench.active()
        await heard(signals, SignalKind.WAKE)
        await bench.store.report(Q, [Report(fence, b"p")])
        await bench.store.settle(Q, [Completed(fence, b"r")])
        await bench.store.flush(Q)
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.FLUSH)


async def test_signals_of_other_tasks_and_queues_are_not_heard(bench: Bench) -> None:
    await bench.add("t", "u")
    await bench.store.watch(Q, "t")
    await bench.store.watch(Q, "u")
    async with listening(bench, "u") as signals:
        await bench.store.enqueue("other", [])
        await bench.store.cancel(Q, "t")
        await bench.store.cancel(Q, "u")
        with trio.fail_after(10):
            assert await signals.receive() == Signal(Q, SignalKind.DONE, "u")
