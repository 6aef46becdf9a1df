"""What is kept by type under random tallies and clocks: the specification and Lua."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec.history import tally as rules
from rediq_trio.spec.history.type_counts import (
    COUNTS,
    TYPE_COUNT_MAX,
    TYPES_STEPS,
    TypeCounts,
    TypesRead,
)
from tests.conformance.bench import Q, new
from tests.property.lockstep import Lockstep, Portal, Step, open_portal
from tests.servers import Server, each_server

STEP = 300_000
NAMES = ("", "mail", "Ünïcode", "a" * 200)
cells = st.dictionaries(
    st.integers(0, COUNTS - 1),
    st.sampled_from([1, 2, 15, 16, 17, 1000, 65_537, TYPE_COUNT_MAX]),
    min_size=1,
    max_size=9,
)
moves = st.lists(
    st.tuples(
        st.sampled_from(
            [0, 1, 4_000, STEP, STEP, 3 * STEP, 13 * STEP, 100 * STEP, 287 * STEP, 300 * STEP,
             -4_000, -STEP, -3 * STEP, -40 * STEP]
        ),
        st.sampled_from([b"worker-1", b"worker\x002", b"w\xffrker-3"]),
        st.sampled_from([0, 1, 1, 1, 5]),
        st.dictionaries(st.sampled_from(NAMES), cells, max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


def counts(cell: dict[int, int]) -> TypeCounts:
    return tuple(cell.get(at, 0) for at in range(COUNTS))


@pytest.mark.parametrize("server", each_server(newest=False), indirect=True)
@settings(max_examples=settings().max_examples // 3)
@given(moves=moves)
def test_lua_adds_up_as_the_specification_does(portal: Portal, moves: list[Any]) -> None:
    both = Lockstep(portal)
    both.do(Step("enqueue", ([new("t")],)))
    numbers: dict[bytes, int] = {}
    for later, worker, ahead, some in moves:
        both.clock.now += later
        numbers[worker] = numbers.get(worker, 0) + ahead
        options = {"worker": worker, "number": numbers[worker],
                   "counts": {name: counts(cell) for name, cell in some.items()}}  # fmt: skip
        both.do(Step("tally", (), options))
        kept = both.model.types
        assert all(kept.step - TYPES_STEPS <= at < kept.step for at in kept.ended)
        assert len({one.name for one in kept.kept}) == len(kept.kept)
        for since in (0, -later, -300 * STEP, both.clock.now - abs(later)):
            found = portal.run(read, portal, since)
            assert found == rules.read_types(both.model, both.clock.now, since_ms=since)


async def read(portal: Portal, since: int) -> TypesRead:
    return await portal.opened.store.types(Q, since_ms=since)
