"""How tests run: servers started once and only when needed, async tests inside `trio.run`.

An `async def` test runs under Trio's own clock, or with `@pytest.mark.mock_clock`
under one that jumps ahead whenever all tasks wait (never with a real server,
whose answers do not wait for it).
"""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, nullcontext
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from tests.clusters import cluster
from tests.opened import Opened
from tests.parallel import run_in_parallel
from tests.profiles import load_profile
from tests.servers import (
    Server,
    ServerMissing,
    check_setting,
    each_server,
    find_servers,
    lent,
    require_any_server,
    require_embedded,
    running_server,
)
from tests.uncounted import uncounted

CLUSTER = "cluster"
"""What takes the place of a server's name for a Cluster of six."""
WIRE = "wire"
"""What takes the place of a server's name for a simulated connection to the memory store."""
TEST_DEADLINE = 240.0
"""Seconds that an async test may take on a busy machine; alone, none takes a quarter of it."""
MOCK_DEADLINE = 1e9
"""Seconds under a clock that jumps: reached at once by a test that hangs, by no other."""
NOT_RUN = "not run"
"""How the report counts the tests whose server is missing."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    run_in_parallel(config)


def pytest_configure(config: pytest.Config) -> None:
    check_setting()
    load_profile()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Leave the lines of some tests uncounted: other tests count them."""
    with uncounted() if item.get_closest_marker("uncounted") or _repeats(item) else nullcontext():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes long begin first in parallel runs, so that no process ends long after others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("uncounted") is None)


def _repeats(item: pytest.Item) -> bool:
    """Return whether a test repeats on one more store what it does on others too."""
    callspec = getattr(item, "callspec", None)
    given = [] if callspec is None else callspec.params.values()
    return any(name in given for name in (*[*find_servers()][1:], CLUSTER, WIRE))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, ServerMissing):
        # A plain attribute: pytest-xdist sends it to the process that writes the report.
        report.server_missing = (call.excinfo.value.what, call.excinfo.value.why)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    return (NOT_RUN, "-", "NOT RUN") if hasattr(report, "server_missing") else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield
    reports = terminalreporter.stats.get(NOT_RUN, [])
    for (what, why), times in sorted(Counter(tuple(r.server_missing) for r in reports).items()):
        tests = "1 test was" if times == 1 else f"{times:,} tests were"
        terminalreporter.write_line(f"{what}: {tests} not run ({why})")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    names = inspect.signature(test).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    for value in given.values():
        if isinstance(value, Opened) and value.run is not None:
            value.run(partial(_run_test, test, given, TEST_DEADLINE))
            return True
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
            if name not in started:
                started[name] = stack.enter_context(running_server(name))
            return started[name]

        yield start


@pytest.fixture(params=each_server())
def server(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Server:
    """Give each server under test in turn."""
    return start_server(request.param)


@pytest.fixture
def redis_server(start_server: Callable[[str], Server]) -> Server:
    """Return one server, where one is enough: the oldest that is there."""
    return start_server(require_any_server())


@pytest.fixture(scope="session")
def embedded_server() -> str:
    """Return the program that `embedded://` starts."""
    return require_embedded()
