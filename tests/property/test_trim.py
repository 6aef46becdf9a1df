"""What goes of statistics, under random use and clocks: the specification and Lua."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec.history.type_counts import NO_COUNTS
from tests.conformance.bench import new
from tests.property.lockstep import Lockstep, Portal, Step, open_portal
from tests.servers import Server, each_server

STEP = 300_000
moves = st.lists(
    st.tuples(
        st.sampled_from([0, 10_000, 60_000, STEP, 3 * STEP, 13 * STEP, 287 * STEP, 4000 * STEP, -STEP]),
        st.sampled_from(["use", "use", "use", "trim"]),
        st.sampled_from([0, 1, 90, 200, 600, 10**6]),
    ),
    min_size=2,
    max_size=16,
)


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


@pytest.mark.parametrize("server", each_server(newest=False), indirect=True)
@settings(max_examples=settings().max_examples // 3)
@given(moves=moves)
def test_lua_removes_what_the_specification_does(portal: Portal, moves: list[Any]) -> None:
    both = Lockstep(portal)
    for number, (later, what, shed) in enumerate(moves):
        both.clock.now += later
        if what == "trim":
            both.do(Step("trim", (), {"shed": shed}))
            continue
        both.do(Step("enqueue", ([new(f"t{number}")],)))
        both.do(Step("sample", (), {"known": -1, "unseen_ms": 0}))
        counts = {"mail": (shed + 1, *NO_COUNTS[1:])}
        both.do(Step("tally", (), {"worker": b"worker-1", "number": number + 1, "counts": counts}))
