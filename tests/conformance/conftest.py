"""One suite, held against every store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.bench import open_bench
from tests.conftest import CLUSTER
from tests.opened import Opened
from tests.servers import Server, each_server

STORES = ["memory", *each_server(), pytest.param(CLUSTER, marks=pytest.mark.slow)]


@pytest.fixture(params=STORES)
def bench(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Opened:
    """Give the workbench on each store in turn."""
    server = None if request.param == "memory" else start_server(request.param)
    return Opened(lambda: open_bench(server))
