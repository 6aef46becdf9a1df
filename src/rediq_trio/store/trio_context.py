"""trio_context: an async context manager that says what to use where Trio does not run."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import trio

from rediq_trio._errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")


class TrioContext(AbstractAsyncContextManager[T, bool | None]):
    """An async context manager that raises `ConfigError` when it is entered outside Trio."""

    def __init__(
        self, context: AbstractAsyncContextManager[T, bool | None], name: str, instead: str
    ) -> None:
        self._context = context
        self._name = name
        self._instead = instead

    async def __aenter__(self) -> T:
        if not trio.lowlevel.in_trio_run():
            raise ConfigError(f"rediq.{self._name}() needs Trio, by trio.run(): {self._instead}")
        return await self._context.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._context.__aexit__(kind, error, traceback)

    if not TYPE_CHECKING:  # type checkers refuse a plain `with`

        def __enter__(self) -> NoReturn:
            raise ConfigError(
                f"rediq.{self._name}() is entered by `async with`, in Trio: {self._instead}"
            )

        def __exit__(self, *error: object) -> None: ...


def trio_context(
    instead: str,
) -> Callable[[Callable[P, AsyncGenerator[T]]], Callable[P, TrioContext[T]]]:
    """Make a context manager of an async generator function; `instead` is what to use outside Trio."""

    def decorate(function: Callable[P, AsyncGenerator[T]]) -> Callable[P, TrioContext[T]]:
        make = asynccontextmanager(function)

        @functools.wraps(function)
        def opened(*args: P.args, **kwargs: P.kwargs) -> TrioContext[T]:
            return TrioContext(make(*args, **kwargs), function.__name__, instead)

        return opened

    return decorate
