"""Random histories through the specification and a store on a real server, in lock-step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from rediq_trio.spec.lifecycle import TRANSITIONS
from rediq_trio.spec.messages import Death, Due, NewTask, Relations
from tests.property.histories import Histories
from tests.property.lockstep import Lockstep, Portal, Step, open_portal
from tests.property.walk import walk_every_edge
from tests.servers import SERVERS, Server, each_server

pytestmark = pytest.mark.uncounted


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


@pytest.mark.parametrize("server", each_server(newest=False), indirect=True)
def test_a_store_does_what_the_specification_says(portal: Portal) -> None:
    share = settings(max_examples=settings().max_examples // len(SERVERS))
    machine = type("Histories", (Histories,), {"portal": portal, "seen": set()})
    run_state_machine_as_test(machine, settings=share)


def test_a_walk_takes_every_edge_in_both(portal: Portal) -> None:
    both = Lockstep(portal)
    walk_every_edge(both)
    both.finish()
    assert both.taken == {
        (transition, *edge) for transition, edges in TRANSITIONS.items() for edge in edges
    }


def test_tasks_without_a_key_that_were_never_served_come_first_in_a_fair_queue(
    portal: Portal,
) -> None:
    """Found by random histories: a lane without a turn counted as one of the last."""
    both = Lockstep(portal)
    both.do(Step("arrange", (), {"fair": True}))
    both.do(Step("enqueue", ([NewTask("plain", b"e")],)))
    both.do(Step("enqueue", ([NewTask("keyed", b"e", relations=Relations(limit_key="a"))],)))
    options = {"limit": 1, "lease_ms": 10, "worker": "w", "nonce": b"12345678"}
    [lease] = both.do(Step("claim", (), options)).leases
    assert lease.fence.id == "plain"


@pytest.mark.parametrize("ahead", [6, 9])
def test_an_expiry_that_buries_what_waits_for_it_tells_of_no_expiry_of_that(
    portal: Portal, ahead: int
) -> None:
    """Found by random histories: the specification went by what had been waiting before."""
    both = Lockstep(portal)
    waiting = NewTask("waits", b"e", expires_in_ms=8, relations=Relations(needs=("first",)))
    first = NewTask("first", b"e", delay_ms=20, expires_in_ms=5)
    both.do(Step("enqueue", ([first, waiting],)))
    portal.clock.advance(ahead)
    death = Death("first", 0, "expired")
    with_it = Death("waits", 0, "the task first that it needs is dead")
    assert both.do(Step("expire", (), {"limit": 1})) == Due(1, None, (death, with_it))
