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
    pytest.param(CLUSTER, marks=pytest.mark.slow),
    pytest.param(WIRE, marks=[pytest.mark.slow, pytest.mark.by_command]),
]


@pytest.fixture(params=STORES)
def bench(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Opened:
    """Return the workbench on each store in turn."""
    if request.param == "memory":
        return Opened(lambda: open_bench(open_memory))
    if request.param == WIRE:
        wired = WiredWorld()
        return Opened(lambda: open_bench(wired.open_store), wired.run)
    server = start_server(request.param)
    return Opened(lambda: open_server_bench(server))
