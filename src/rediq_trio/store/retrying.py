"""Repeat a call to the store until it is answered, so that a restart of Redis is waited out.

Only calls that may be made twice without harm belong here: `ConnectionLost` does not say
whether the lost call was applied. The pauses are random, so that many clients that lost
the same server do not come back together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from rediq_trio._errors import AccessRefused, ConnectionLost

T = TypeVar("T")

RETRY_PAUSE_MIN, RETRY_PAUSE_MAX = 0.05, 0.5
"""Bounds, in seconds, of the pause after a lost call."""


def retry_pause() -> float:
    """Return the seconds to wait before a lost call is repeated."""
    return random.uniform(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX)


async def until_answered(
    call: Callable[[], Awaitable[T]],
    *,
    give_up_after: float = math.inf,
    on_failure: Callable[[ConnectionLost], object] | None = None,
    pause_max: float = RETRY_PAUSE_MAX,
) -> T:
    """Make a call, and repeat it after each `ConnectionLost`; return its first answer.

    The last `ConnectionLost` is raised once `give_up_after` seconds have passed since the
    first call began; a call is made at least once. `AccessRefused` is raised at once if there is
    such a bound: someone waits, who had better be told. `on_failure` is called with each
    error and may raise it to give up at once. No pause is longer than `pause_max` seconds.
    """
    give_up_at = trio.current_time() + give_up_after
    while True:
        try:
            return await call()
        except ConnectionLost as lost:
            if on_failure is not None:
                on_failure(lost)
            if trio.current_time() >= give_up_at:
                raise
            if isinstance(lost, AccessRefused) and give_up_at < math.inf:
                raise
        await trio.sleep(min(pause_max, retry_pause()))


def raise_access_refused(lost: ConnectionLost) -> None:
    """Raise an `AccessRefused`, for a caller that waits without a bound and had better be told."""
    if isinstance(lost, AccessRefused):
        raise lost
