from __future__ import annotations

import pytest

from rediq_trio.store.port import BATCH
from rediq_trio.worker.prefetch import AHEAD_BYTES_MAX, Prefetch

LARGE = 500_000


def test_it_claims_ahead_what_starts_soon() -> None:
    prefetch = Prefetch(100, None)
    assert prefetch.ahead() == 0
    prefetch.record_attempt(0.01)
    assert prefetch.ahead() == 500


@pytest.mark.parametrize("fixed", [None, 1000])
def test_large_payloads_are_claimed_ahead_up_to_a_number_of_bytes(fixed: int | None) -> None:
    prefetch = Prefetch(100, fixed)
    prefetch.record_attempt(0.0001)
    assert prefetch.ahead() == 1000
    prefetch.record_claim([LARGE] * 100)
    assert prefetch.ahead() * LARGE == pytest.approx(AHEAD_BYTES_MAX, rel=0.1)
    assert prefetch.capacity() == 100 + prefetch.ahead()


def test_one_claim_brings_no_more_bytes_than_that_either_but_always_a_task() -> None:
    prefetch = Prefetch(1000, None)
    assert prefetch.claim_max() == BATCH
    prefetch.record_claim([LARGE] * 100)
    assert prefetch.claim_max() * LARGE == pytest.approx(AHEAD_BYTES_MAX, rel=0.1)
    prefetch.record_claim([2 * AHEAD_BYTES_MAX] * 1000)
    assert prefetch.claim_max() == 1
    assert prefetch.ahead() == 0


def test_small_payloads_after_large_ones_are_claimed_ahead_again() -> None:
    prefetch = Prefetch(100, 1000)
    prefetch.record_claim([LARGE] * 100)
    prefetch.record_claim([100] * 300)
    prefetch.record_claim([])
    assert prefetch.ahead() == 1000


def test_one_small_payload_does_not_hide_many_large_ones() -> None:
    prefetch = Prefetch(100, 1000)
    prefetch.record_claim([LARGE] * 100)
    prefetch.record_claim([100])
    assert prefetch.ahead() * LARGE == pytest.approx(AHEAD_BYTES_MAX, rel=0.2)
