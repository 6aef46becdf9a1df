"""What is costly to read is kept for some seconds, for all visits of a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import trio

from rediq_trio.web.site.page import Shared

A = TypeVar("A")

KEPT_MAX = 500
"""Values that are kept at once; the oldest is forgotten for one more."""


async def kept_for(
    seconds: float, shared: Shared, name: str, read: Callable[[], Awaitable[A]]
) -> A:
    """Return what `read` returns, or what it returned at most so many seconds ago under this name."""
    now = trio.current_time()
    known: tuple[float, object] | None = shared.kept.get(name)
    if known is not None and now < known[0]:
        await trio.lowlevel.checkpoint()
        return cast("A", known[1])
    found = await read()
    for other in [other for other, (until, _) in shared.kept.items() if until <= now]:
        shared.kept.pop(other, None)
    while len(shared.kept) >= KEPT_MAX:
        del shared.kept[next(iter(shared.kept))]
    shared.kept[name] = now + seconds, found
    return found
