"""Series under random histories of tasks and clocks: the specification and Lua, and what is read of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec.history.samples import (
    CHUNKS_KEPT,
    SAMPLE_CARRIED,
    SAMPLE_GAP,
    STEPS_OF,
    STEPS_PER_CHUNK,
    Sample,
)
from rediq_trio.spec.records import QueueState
from tests.conformance.bench import new
from tests.property.lockstep import Lockstep, Portal, Step, open_portal
from tests.servers import Server, each_server

HOUR = 3_600_000
CHANGES = ("", "", "enqueue", "enqueue", "claim", "flush")
moves = st.lists(
    st.tuples(
        st.sampled_from(CHANGES),
        st.one_of(
            st.integers(0, 11_000),
            st.sampled_from([10_000, 29_999, 61_000, 600_000, HOUR, 9 * HOUR, 25 * HOUR, 31 * 24 * HOUR]),
            st.sampled_from([-5_000, -60_000, -70_000, -2 * HOUR, -20 * HOUR]),
        ),
        st.sampled_from([0, 0, 10_000, 2**40]),
        st.sampled_from([0, 0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=25,
)  # fmt: skip


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


def sampled(samples: tuple[Sample, ...], level: int) -> None:
    """Check that each sample has a predecessor or a mark, and is in a window of its level."""
    steps = [one.step for one in samples]
    assert steps == sorted({*steps})
    for before, one in pairwise(samples):
        assert one.mark or one.step == before.step + 1
        if one.mark == SAMPLE_CARRIED:
            assert one.numbers == (0, 0, 0, 0, *before.numbers[4:])
    if steps:
        assert steps[-1] - steps[0] < (CHUNKS_KEPT[level] + 1) * STEPS_PER_CHUNK


def every(queue: QueueState, level: int) -> tuple[Sample, ...]:
    found = [one for key, some in queue.series.chunks.items() if key[0] == level for one in some]
    return tuple(sorted(found, key=lambda one: one.step))


@pytest.mark.parametrize("server", each_server(newest=False), indirect=True)
@settings(max_examples=settings().max_examples // 3)
@given(moves=moves)
def test_lua_samples_as_the_specification_does(
    portal: Portal, moves: list[tuple[str, int, int, int]]
) -> None:
    both = Lockstep(portal)
    gaps = 0
    for n, (change, later, unseen_ms, ahead) in enumerate(moves):
        both.clock.now += later
        match change:
            case "enqueue":
                both.do(Step("enqueue", ([new(f"t{n}")],)))
            case "claim":
                options = {"limit": 1, "lease_ms": 10, "worker": "w", "nonce": bytes([n] * 8)}
                both.do(Step("claim", (), options))
            case "flush":
                both.do(Step("flush"))
            case _:
                pass
        before = both.model.series
        known = before.last.step + ahead
        both.do(Step("sample", (), {"known": known, "unseen_ms": unseen_ms}))
        if both.model.series is not before:
            gaps += every(both.model, 0)[-1].mark == SAMPLE_GAP
    for level in range(len(STEPS_OF)):
        sampled(every(both.model, level), level)
    if gaps == 0 and all(later >= 0 for _, later, _, _ in moves):
        # Whatever happened is in the samples of the last 30 days, or before them.
        counted = sum(one.numbers[0] for one in every(both.model, 2))
        spans = sum(later for _, later, _, _ in moves)
        if spans < 30 * 24 * HOUR:
            assert counted == both.model.series.last.numbers[0]
