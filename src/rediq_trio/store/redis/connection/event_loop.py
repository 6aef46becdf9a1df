"""The asyncio loop on Trio in which redis-py runs: trio-asyncio's, without its changes to asyncio.

When trio-asyncio is imported, it replaces functions of asyncio for the whole process. Every later
`asyncio.run` would then run on a loop of trio-asyncio, which is five times slower. It replaces
them because its loops run as Trio tasks, so asyncio does not know which loop is running. Here a
loop tells asyncio so for each callback, as asyncio's own loops do, and asyncio gets its functions
back. If the program has imported trio-asyncio itself, asyncio stays as it left it.

Python 3.14 needs the same: there a task asks the interpreter for the running loop, and not one of
the functions that trio-asyncio replaces. Some classes that trio-asyncio 0.16 derives from are
private there, so asyncio has their old names while trio-asyncio is imported.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import importlib
import sys
import warnings
from _asyncio import _get_running_loop, _set_running_loop
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import Context
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def _restored_asyncio() -> Generator[None]:
    """Restore the attributes of all modules of asyncio after the block."""
    loaded = list(sys.modules.items())  # other threads may be importing
    modules = [module for name, module in loaded if name.split(".")[0] == "asyncio"]
    before = [(module, dict(vars(module))) for module in modules]
    try:
        yield
    finally:
        for module, attributes in before:
            for name, value in attributes.items():
                if vars(module).get(name) is not value:
                    setattr(module, name, value)


@contextmanager
def _old_names() -> Generator[None]:
    """Add to asyncio, within the block, the names that Python 3.14 made private or removed."""
    added: list[tuple[ModuleType, str]] = []
    for module, name, value in (
        (asyncio.events, "BaseDefaultEventLoopPolicy", "_BaseDefaultEventLoopPolicy"),
        (asyncio, "AbstractChildWatcher", object),
    ):
        if not hasattr(module, name):
            setattr(module, name, getattr(module, value) if isinstance(value, str) else value)
            added.append((module, name))
    try:
        with warnings.catch_warnings():
            # About policies: asyncio gets its own back.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for module, name in added:
            delattr(module, name)


def _import_trio_asyncio() -> Any:
    if "trio_asyncio" in sys.modules:
        return sys.modules["trio_asyncio"]
    with _restored_asyncio(), _old_names():
        return importlib.import_module("trio_asyncio")


_trio_asyncio = _import_trio_asyncio()
_TrioEventLoop: Any = _trio_asyncio.TrioEventLoop


class TrioLoop(_TrioEventLoop):  # type: ignore[misc]  # untyped
    """A loop of trio-asyncio that is asyncio's running loop while one of its callbacks runs."""

    def _run_callback(self, callback: Callable[..., object], *args: Any) -> None:
        # Trio may itself run on a loop of asyncio, which is the running one then (guest mode).
        outer = _get_running_loop()
        _set_running_loop(self)
        try:
            callback(*args)
        finally:
            _set_running_loop(outer)

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(self._run_callback, (callback, *args), self, context)
        self._queue_handle(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> None:
        _TrioEventLoop.call_soon_threadsafe(
            self, self._run_callback, callback, *args, context=context
        )

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        return _TrioEventLoop.call_later(
            self, delay, self._run_callback, callback, *args, context=context
        )

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        return _TrioEventLoop.call_at(
            self, when, self._run_callback, callback, *args, context=context
        )

    # Python 3.15 passes a context, which trio-asyncio does not take.
    def _add_reader(
        self,
        fd: Any,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        run = (callback,) if context is None else (context.run, callback)
        return _TrioEventLoop._add_reader(self, fd, self._run_callback, *run, *args)

    def _add_writer(
        self,
        fd: Any,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        run = (callback,) if context is None else (context.run, callback)
        return _TrioEventLoop._add_writer(self, fd, self._run_callback, *run, *args)


# `open_loop` takes no class. Loops that the program opens itself need the same, in an asyncio
# whose functions are not replaced.
importlib.import_module("trio_asyncio._loop").TrioEventLoop = TrioLoop  # type: ignore[attr-defined]


def open_loop() -> AbstractAsyncContextManager[Any]:
    """Open a loop of asyncio, which runs as a task of Trio until the end of the block."""
    loop: AbstractAsyncContextManager[Any] = _trio_asyncio.open_loop()
    return loop


def as_trio(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make an asyncio function callable from Trio, within the block of `open_loop`."""
    wrapped: Callable[P, Awaitable[R]] = _trio_asyncio.aio_as_trio(call)
    return wrapped
