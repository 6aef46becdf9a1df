"""held_back: let an exception of a block out as it was raised, through any nurseries.

A nursery wraps what leaves its body in an ExceptionGroup, and `open_loop` does so
twice. An error of the user's block is none of the library's, so it is caught
inside (`with hold:`), the nurseries are left in good order, and outside of them
it is raised again, untouched.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import cast

import trio


class Hold:
    """Keeps the exception of the block it is put around."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        return True


def innermost(error: BaseException) -> BaseException:
    """Unwrap groups of one: what a nursery wrapped, as it was raised."""
    found = error
    while isinstance(found, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", found)
        # Next to an error, Cancelled is its echo; alone, it is one cancellation.
        _, errors = group.split(trio.Cancelled)
        if errors is not None and len(errors.exceptions) > 1:
            return errors
        found = (errors or group).exceptions[0]
    return found


@asynccontextmanager
async def held_back() -> AsyncGenerator[Hold]:
    """Put around nurseries; the held exception is raised behind them.

    An error of the nurseries' own children wins over a held `Cancelled`, which is
    then only their echo; it leaves unwrapped too.
    """
    hold = Hold()
    try:
        yield hold
    except BaseException as error:
        inner = innermost(error)
        if hold.error is None or (
            isinstance(hold.error, trio.Cancelled) and not isinstance(inner, trio.Cancelled)
        ):
            if inner is error:
                raise
            raise inner from inner.__cause__
    if hold.error is not None:
        held, hold.error = hold.error, None
        try:
            raise held
        finally:
            del held
