"""Repeat a call to the store until it is answered, so that a restart of Redis is waited out.

Only calls that may be made twice without harm belong here: `ConnectionLost` does not say
whether the lost call was applied. The pauses are random, so that many clients that lost
the same server do not come back together.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import trio

from rediq_trio._errors import AccessRefused, ClientClosed, ConnectionLost
from rediq_trio.values.chance import uniform

T = TypeVar("T")

RETRY_PAUSE_MIN, RETRY_PAUSE_MAX = 0.05, 0.5
"""Bounds, in seconds, of the pause after a lost call."""


NOTE_AFTER = 2.0
"""Seconds for which a call is repeated before whoever asked for it with `noting_waits` is notified."""
Note = Callable[[ConnectionLost, float], object]
"""Receives why a call has no answer yet, and for how many seconds it will be repeated."""
_WAIT_NOTE: ContextVar[Note | None] = ContextVar("note", default=None)


@contextmanager
def noting_waits(note: Note) -> Generator[None]:
    """Call `note` at each failure of a call that the block has repeated for some seconds."""
    token = _WAIT_NOTE.set(note)
    try:
        yield
    finally:
        _WAIT_NOTE.reset(token)


def retry_pause() -> float:
    """Return the seconds to wait before a lost call is repeated."""
    return uniform(RETRY_PAUSE_MIN, RETRY_PAUSE_MAX)


async def until_answered(
    call: Callable[[], Awaitable[T]],
    *,
    give_up_after: float = math.inf,
    on_failure: Callable[[ConnectionLost], object] | None = None,
    pause_max: float = RETRY_PAUSE_MAX,
) -> T:
    """Make a call, and repeat it after each `ConnectionLost`; return its first answer.

    `ClientClosed` is raised at once, or what a call before it raised that was sent and may have been
    carried out. Otherwise the last `ConnectionLost` is raised once `give_up_after` seconds have passed since the
    first call began; a call is made at least once. `AccessRefused` is raised at once if there is
    such a bound: someone waits, who had better be told. `on_failure` is called with each
    error and may raise it to give up at once. No pause is longer than `pause_max` seconds.
    """
    begun, sent = trio.current_time(), None
    give_up_at = begun + give_up_after
    while True:
        try:
            return await call()
        except ClientClosed as closed:
            raise sent or closed from None
        except ConnectionLost as lost:
            sent = lost if lost.sent else sent
            if on_failure is not None:
                on_failure(lost)
            if trio.current_time() >= give_up_at:
                raise
            if isinstance(lost, AccessRefused) and give_up_at < math.inf:
                raise
            note, now = _WAIT_NOTE.get(), trio.current_time()
            if note is not None and now - begun >= NOTE_AFTER:
                note(lost, give_up_at - now)
        await trio.sleep(min(pause_max, retry_pause()))


def raise_access_refused(lost: ConnectionLost) -> None:
    """Raise an `AccessRefused`, for a caller that waits without a bound and had better be told."""
    if isinstance(lost, AccessRefused):
        raise lost
