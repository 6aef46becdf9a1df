"""Which signals are the second one. Each is raised in this process, under a clock that jumps."""

from __future__ import annotations

import signal

import pytest
import trio
import trio.testing

from rediq_trio.cli.stop_signals import stop_signals

pytestmark = pytest.mark.mock_clock
TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.mark.parametrize(
    ("sent", "now"),
    [
        ([(TERM, 0.0), (TERM, 0.9)], False),
        ([(INT, 0.0), (INT, 0.5), (INT, 0.9)], False),
        ([(TERM, 0.0), (TERM, 0.01), (TERM, 1.5)], True),
        ([(TERM, 0.0), (INT, 0.01)], True),
        ([(HUP, 0.0), (HUP, 5.0), (HUP, 9.0)], False),
        ([(TERM, 0.0), (HUP, 5.0)], False),
        ([(HUP, 0.0), (TERM, 0.1)], True),
    ],
)
async def test_the_first_signal_stops_in_good_order_and_a_real_second_one_at_once(
    sent: list[tuple[signal.Signals, float]], now: bool
) -> None:
    async with stop_signals() as (stop, _):
        began = trio.current_time()
        for number, at in sent:
            await trio.sleep(began + at - trio.current_time())
            signal.raise_signal(number)
            await trio.testing.wait_all_tasks_blocked(0.001)
            assert stop.asked.is_set()
        assert stop.now.is_set() == now


async def test_a_hangup_that_the_process_ignores_stays_ignored() -> None:
    before = signal.signal(HUP, signal.SIG_IGN)
    try:
        async with stop_signals() as (stop, _):
            signal.raise_signal(HUP)
            await trio.testing.wait_all_tasks_blocked(0.001)
            assert not stop.asked.is_set()
    finally:
        signal.signal(HUP, before)
