"""The plugin for pytest: the fixture `rediq_sim`.

pytest imports it at its start, so what it needs is imported when the fixture is used.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rediq_trio.handlers.app import App
    from rediq_trio.testing.simulation import Simulation

_MARKERS = ("trio", "anyio", "asyncio")
"""The markers of async tests that other plugins run."""


@pytest.fixture
def rediq_sim() -> Iterator[Callable[..., Simulation]]:
    """Open simulations, which are closed after the test: `sim = rediq_sim(app, servers=2)`.

    The arguments are those of `rediq_trio.testing.simulation.Simulation`.
    """
    from rediq_trio.testing.simulation import Simulation

    with ExitStack() as opened:

        def simulate(app: App, **options: Any) -> Simulation:
            return opened.enter_context(Simulation(app, **options))

        yield simulate


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixture by Trio, if no other plugin does."""
    if (
        "rediq_sim" not in pyfuncitem.fixturenames
        or not inspect.iscoroutinefunction(pyfuncitem.obj)
        or any(pyfuncitem.get_closest_marker(name) for name in _MARKERS)
    ):
        return None
    import trio

    names = pyfuncitem._fixtureinfo.argnames
    trio.run(
        functools.partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    )
    return True
