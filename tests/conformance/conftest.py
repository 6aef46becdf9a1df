"""The suite of `rediq_trio.testing.conformance`, held against every store of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.bench import open_bench
from tests.conformance.stores import open_memory, open_server_bench
from tests.conformance.wired import WiredWorld
from tests.conftest import CLUSTER, WIRE
from tests.opened import Opened
from tests.servers import Server, each_server

STORES = [
    "memory",
    *each_server(),
    *(pytest.param(name, marks=pytest.mark.slow) for name in (CLUSTER, WIRE)),
]


NOT_ON_A_WIRE = {
    "test_a_step_changes_the_rules_of_so_many_groups": "one step of the memory store takes longer than "
    "the 10 s after which a simulation is stuck: it looks at 500 groups 500 times",
}
"""The tests that cannot run in a simulated world, each with the reason."""


@pytest.fixture(params=STORES)
def bench(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Opened:
    """Return the workbench on each store in turn."""
    if request.param == "memory":
        return Opened(lambda: open_bench(open_memory))
    if request.param == WIRE:
        if why := NOT_ON_A_WIRE.get(request.function.__name__):
            pytest.skip(why)
        wired = WiredWorld()
        return Opened(lambda: open_bench(wired.open_store), wired.run)
    server = start_server(request.param)
    return Opened(lambda: open_server_bench(server))
