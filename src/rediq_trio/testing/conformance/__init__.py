"""The conformance suite: what every store does, for whoever writes one.

Each case runs on a new store and says one thing about it: what a claim returns, what a stale token may
not change, in which order a list comes. After each case all invariants of the queue are checked. The
suite is pytest's to run, in a test file of the store's own project:

    @pytest.mark.parametrize("case", cases(), ids=str)
    def test_my_store(case: ConformanceCase) -> None:
        case.run(open_my_store)

`open_my_store(clock)` is all that the store's writer provides: an async context manager that yields a
`rediq_trio.store.port.Store`. For each case it is called once, and what it opens:

* is empty, and shares nothing with what was opened before;
* takes its time from `clock` alone, a function that returns milliseconds since 1970. Time stands still
  unless a case moves it, mostly forwards. A store whose time comes from a server takes it with each call;
* delivers its signals within 10 real seconds, and does nothing by itself: leases lapse, tasks expire and
  schedules tick only in the calls that are there for it.

The cases are the tests of `tests/conformance` in the repository; the wheel has them in `suite/`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.store.port import Store
from rediq_trio.testing.conformance.parametrized import arguments_of

__all__ = ["ConformanceCase", "OpenStore", "cases"]

CASE_DEADLINE = 240.0
"""Seconds that a case may take; in memory, the longest takes a tenth of it."""
SUITE_NAME = f"{__name__}.suite"
"""The package of the cases, wherever its files are."""

OpenStore = Callable[[Callable[[], int]], AbstractAsyncContextManager[Store]]
"""Opens an empty store, which takes its time from a function that returns milliseconds since 1970."""


@attrs.frozen(eq=False)
class ConformanceCase:
    """One case of the suite. `str(case)` is its name, such as `test_claim.py::test_a_claim_leases_a_task`."""

    name: str
    _function: Callable[..., Awaitable[None]] = attrs.field(repr=False)
    _arguments: dict[str, Any] = attrs.field(repr=False)

    def __str__(self) -> str:
        return self.name

    def run(self, open_store: OpenStore, *, deadline: float = CASE_DEADLINE) -> None:
        """Run the case in a `trio.run` of its own.

        Raises `AssertionError` where the store is not as the specification says, what the store raises,
        and `trio.TooSlowError` after `deadline` seconds.
        """
        trio.run(self._run_before, deadline, open_store)

    async def _run_before(self, deadline: float, open_store: OpenStore) -> None:
        with trio.fail_after(deadline):
            await self.run_in_trio(open_store)

    async def run_in_trio(self, open_store: OpenStore) -> None:
        """Run the case in the run of Trio that goes on, as `run` does but without a deadline."""
        bench = import_module(f"{SUITE_NAME}.bench")
        async with bench.open_bench(open_store) as opened:
            await self._function(bench=opened, **self._arguments)


def cases() -> tuple[ConformanceCase, ...]:
    """Return all cases, in the order of their files.

    Raises `ConfigError` without the extra `testing`.
    """
    return tuple(
        case
        for path in sorted(_load_suite().glob("test_*.py"))
        for case in _cases_of(path.name, import_module(f"{SUITE_NAME}.{path.stem}").__dict__)
    )


def _cases_of(file: str, names: dict[str, Any]) -> Iterator[ConformanceCase]:
    module = names["__name__"]
    for name, function in names.items():
        if name.startswith("test_") and getattr(function, "__module__", None) == module:
            if not iscoroutinefunction(function):
                raise TypeError(f"{file}: {name} is not an async function")
            for suffix, arguments in arguments_of(function):
                yield ConformanceCase(f"{file}::{name}{suffix}", function, arguments)


def suite_folder() -> Path:
    """Return the folder of the cases: in the installed package, or in the checkout."""
    installed = Path(__file__).parent / "suite"
    checkout = Path(__file__).resolve().parents[4] / "tests" / "conformance"
    for folder in (installed, checkout):
        if (folder / "test_claim.py").is_file():
            return folder
    raise ConfigError(
        f"the conformance suite is missing: looked in {installed} and {checkout}; reinstall rediq-trio"
    )


def _load_suite() -> Path:
    """Import the package of the cases, and return its folder."""
    try:
        import_module("pytest")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the conformance suite needs the extra `testing`: pip install 'rediq-trio[testing]'"
        ) from error
    folder = suite_folder()
    if SUITE_NAME not in sys.modules:
        spec = spec_from_file_location(
            SUITE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = sys.modules[SUITE_NAME] = module_from_spec(spec)
        spec.loader.exec_module(package)
    return folder
