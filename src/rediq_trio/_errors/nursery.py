"""unwrapped_errors: raise an exception of a `with` block unchanged, through any nurseries.

A nursery wraps what leaves its body in an ExceptionGroup, and `open_loop` does so twice. An
error of the user's block should not be wrapped, so it is captured inside (`with captured:`),
the nurseries are left normally, and outside of them it is raised again, unchanged.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import cast

import trio


class CapturedError:
    """Captures the exception of the `with` block that it manages."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> CapturedError:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return True


def innermost(error: BaseException) -> BaseException:
    """Return the exception that a nursery wrapped: the content of groups of one."""
    found = error
    while isinstance(found, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", found)
        # Next to an error, Cancelled is only its consequence; alone, it is one cancellation.
        _, errors = group.split(trio.Cancelled)
        if errors is not None and len(errors.exceptions) > 1:
            return errors
        found = (errors or group).exceptions[0]
    return found


@asynccontextmanager
async def unwrapped_errors() -> AsyncGenerator[CapturedError]:
    """Use around nurseries; the captured exception is raised after they have ended.

    An error of a nursery's child takes precedence over a captured `Cancelled`, which is
    then only its consequence; it is raised unwrapped too.
    """
    captured = CapturedError()
    try:
        yield captured
    except BaseException as error:
        inner = innermost(error)
        if captured.error is None or (
            isinstance(captured.error, trio.Cancelled) and not isinstance(inner, trio.Cancelled)
        ):
            if inner is error:
                raise
            raise inner from inner.__cause__
    if captured.error is not None:
        raised, captured.error = captured.error, None
        try:
            raise raised
        finally:
            del raised
