"""Random histories through the specification and a store on a real server, in lock-step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from rediq_trio.spec.lifecycle import TRANSITIONS
from tests.property.histories import Histories
from tests.property.lockstep import Lockstep, Portal, open_portal
from tests.property.walk import walk_every_edge
from tests.servers import SERVERS, Server


@pytest.fixture
def portal(server: Server) -> Iterator[Portal]:
    with open_portal(server) as opened:
        yield opened


def test_a_store_does_what_the_specification_says(portal: Portal) -> None:
    share = settings(max_examples=settings().max_examples // len(SERVERS))
    machine = type("Histories", (Histories,), {"portal": portal, "seen": set()})
    run_state_machine_as_test(machine, settings=share)


def test_a_walk_takes_every_edge_in_both(portal: Portal) -> None:
    both = Lockstep(portal)
    walk_every_edge(both)
    both.finish()
    assert both.taken == {(event, *edge) for event, edges in TRANSITIONS.items() for edge in edges}
