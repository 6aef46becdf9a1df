"""Cancellation at every step of a worker's life, and a lost answer at every call it makes."""

from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from tests.actors.parts import PLAIN, Watched
from tests.worker.story import (
    KINDS,
    SETTINGS,
    Q,
    Ticks,
    Told,
    app,
    check_all_done,
    check_left,
    enqueue_all,
    tell,
    work_all,
)

pytestmark = pytest.mark.uncounted

MOST_TICKS = 20_000
NEVER = 10**9


def broken_off(*, leave: int = NEVER, cancel: int = NEVER) -> bool:
    """Tell the story, break it off, finish it; say whether it came to the last break.

    Behind step `leave` the block is left in good order; behind step `cancel` the scope
    around it is cancelled.
    """
    broke = False

    async def program() -> None:
        told, store = Told(), MemoryStore()
        ids = await enqueue_all(store)
        around, inside = trio.CancelScope(), trio.CancelScope()

        def step(number: int) -> None:
            nonlocal broke
            if number == leave:
                inside.cancel()
            if number == cancel:
                around.cancel()
            broke = broke or number == (leave if cancel == NEVER else cancel)

        ticks = Ticks(step)
        trio.lowlevel.add_instrument(ticks)
        try:
            with around:
                async with rediq.serve(app(told), store, **SETTINGS) as server:
                    with inside:
                        await wait_done(server)
        finally:
            trio.lowlevel.remove_instrument(ticks)
        await check_left(store, told)
        await work_all(store, told)
        await check_all_done(store, told, ids)

    tell(program, seed=leave * NEVER + cancel)
    return broke


async def wait_done(server: rediq.Server) -> None:
    while (await server.client.queue(Q).stats()).completed < len(KINDS):
        await trio.sleep(0.25)


@pytest.mark.parametrize("gently", [False, True], ids=["cancelled", "left"])
def test_broken_off_at_any_step_the_worker_leaves_nothing_behind(*, gently: bool) -> None:
    at = 1
    while broken_off(leave=at) if gently else broken_off(cancel=at):
        at += 1
        assert at < MOST_TICKS
    print(f"broken off behind each of {at - 1} steps")
    assert at > 100


def test_cancelled_while_it_stops_the_worker_leaves_nothing_behind() -> None:
    cases = [(leave, leave + more) for leave in range(1, 110, 6) for more in range(1, 45, 3)]
    came = sum(broken_off(leave=leave, cancel=cancel) for leave, cancel in cases)
    print(f"cancelled at {came} points of {len(cases)} tried, each on the way out")
    assert came > 100


def test_a_lost_answer_to_any_call_costs_at_most_a_lapse() -> None:
    calls = lost_answer(at=10**9)
    for at in range(calls):
        lost_answer(at)
    print(f"lost the answer to each of {calls} calls")
    assert calls > 20


def lost_answer(at: int) -> int:
    """Tell the story with the answer to one call lost; give how many calls it made."""
    store = Watched()

    async def program() -> None:
        told = Told()
        ids = await enqueue_all(store.store)

        class Losing(Watched):
            def __getattr__(self, name: str) -> object:
                method = super().__getattr__(name)
                if name not in PLAIN and len(self.calls) == at:
                    self.deaf = 1
                return method

        losing = Losing(store.store)
        async with rediq.serve(app(told), losing, **SETTINGS) as server:
            while (await store.store.stats(Q)).queue.counters.completed < len(KINDS):
                await trio.sleep(0.25)
            del server
        store.calls = losing.calls
        await check_all_done(store.store, told, ids)

    tell(program, seed=at % 2**32)
    return len(store.calls)
