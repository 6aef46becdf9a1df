from __future__ import annotations

import pytest

from rediq_trio.store.port import BATCH
from rediq_trio.worker.flow import MOST_BYTES, Flow

LARGE = 500_000


def test_it_claims_ahead_what_starts_soon() -> None:
    flow = Flow(100, None)
    assert flow.ahead() == 0
    flow.ended(0.01)
    assert flow.ahead() == 500


@pytest.mark.parametrize("prefetch", [None, 1000])
def test_large_payloads_are_claimed_ahead_up_to_a_number_of_bytes(prefetch: int | None) -> None:
    flow = Flow(100, prefetch)
    flow.ended(0.0001)
    assert flow.ahead() == 1000
    flow.claimed([LARGE] * 100)
    assert flow.ahead() * LARGE == pytest.approx(MOST_BYTES, rel=0.1)
    assert flow.capacity() == 100 + flow.ahead()


def test_one_claim_brings_no_more_bytes_than_that_either_but_always_a_task() -> None:
    flow = Flow(1000, None)
    assert flow.at_once() == BATCH
    flow.claimed([LARGE] * 100)
    assert flow.at_once() * LARGE == pytest.approx(MOST_BYTES, rel=0.1)
    flow.claimed([2 * MOST_BYTES] * 1000)
    assert flow.at_once() == 1
    assert flow.ahead() == 0


def test_small_payloads_after_large_ones_are_claimed_ahead_again() -> None:
    flow = Flow(100, 1000)
    flow.claimed([LARGE] * 100)
    flow.claimed([100] * 300)
    flow.claimed([])
    assert flow.ahead() == 1000
