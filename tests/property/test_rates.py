"""Rates, led through the specification and a store in lock-step: claims at any instants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec.messages import NewTask, Relations
from rediq_trio.spec.records import Limit
from tests.property.lockstep import Lockstep, Portal, Step, open_portal
from tests.servers import Server

pytestmark = pytest.mark.uncounted


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


rates = st.builds(
    lambda count, period_ms, burst: Limit(0, count, period_ms, min(burst, count)),
    st.sampled_from([1, 2, 3, 10, 50]),
    st.sampled_from([7, 50, 100, 999, 10_000]),
    st.sampled_from([1, 1, 2, 50]),
)
pauses = st.sampled_from([0, 1, 2, 3, 7, 20, 21, 100, 999])


@settings(max_examples=max(10, settings().max_examples // 5))
@given(limit=rates, key=st.sampled_from(["", "k"]), data=st.data())
def test_no_period_sees_more_starts_than_count_and_burst(
    portal: Portal, limit: Limit, key: str, data: st.DataObject
) -> None:
    both = Lockstep(portal)
    rate = {"count": limit.count, "period_ms": limit.period_ms, "burst": limit.burst}
    both.do(Step("limit", (), {"key": key, **rate}))
    tasks = [NewTask(f"t{n}", b"e", relations=Relations(limit_key="k")) for n in range(60)]
    both.do(Step("enqueue", (tasks,)))
    starts: list[int] = []
    for nonce in range(1, data.draw(st.integers(1, 12)) + 1):
        # Now and then at the very instant of which the last claim was told.
        claim = {"limit": data.draw(st.sampled_from([1, 2, 100])), "lease_ms": 10**6, "worker": "w"}
        answer = both.do(Step("claim", (), {**claim, "nonce": nonce.to_bytes(8, "big")}))
        starts += [both.clock.now] * len(answer.leases)
        if answer.next_in_ms is not None and data.draw(st.booleans()):
            both.clock.advance(answer.next_in_ms + data.draw(st.sampled_from([-1, 0, 0, 1])))
        else:
            both.clock.advance(data.draw(pauses))
    most = limit.count + limit.burst - 1
    for first, after in zip(starts, starts[most:], strict=False):
        assert after - first >= limit.period_ms
