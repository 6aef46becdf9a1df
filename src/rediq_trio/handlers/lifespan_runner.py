"""LifespanRunner: enters the lifespans of an app, works, and leaves them.

What a lifespan opens, a nursery or a cancel scope, must be closed by the Trio task that opened it.
So all of them are entered and left in one task, the worker's own, one inside the other.

- While they are entered, a cancellation from outside reaches them; nothing has been claimed yet.
- While the worker works, they are shielded: a cancellation from outside stops the worker first,
  which leaves them afterwards.
- If a lifespan is cancelled from inside, for example because a task of its nursery has failed, the
  worker stops at once and settles its outcomes. Then the error leaves the lifespan.
- They are left within `cleanup_grace` seconds, all together; then what still runs is cancelled.

An error of the work is not thrown into the lifespans, which might suppress it: it is raised after
they have been left.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio._errors.nursery import innermost
from rediq_trio.handlers.lifespan import Lifespan, Lifespans, OpenLifespan

log = logging.getLogger("rediq_trio")


@attrs.define(eq=False)
class LifespanRunner:
    """Enters and leaves the lifespans of one worker."""

    lifespans: Lifespans
    grace: float
    """Seconds in which all of them must be left."""
    stop_now: Callable[[], None]
    """Stops the work without grace."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, which shields itself from cancellation, inside of the lifespans.

        Raises the error of the work, else that of a lifespan, and `ConfigError` if a lifespan was
        cancelled from inside without an error.
        """
        failure: BaseException | None = None
        completed = False
        guard = trio.CancelScope()
        try:
            with guard:
                async with AsyncExitStack() as stack:
                    try:
                        for lifespan in self.lifespans.ordered:
                            await self._enter(lifespan, stack)
                        guard.shield = True
                        await self._work(work)
                        completed = True
                    except BaseException as error:
                        inner = innermost(error)
                        if isinstance(inner, trio.Cancelled):
                            raise inner from inner.__cause__
                        failure = inner
                    finally:
                        guard.shield = True
                        guard.deadline = trio.current_time() + self.grace
        except BaseException:
            if failure is None:
                raise
            raise failure  # noqa: B904  (the lifespan's own error is logged, and its context)
        if guard.cancelled_caught:
            log.warning(
                "the lifespans were not left within cleanup_grace (%g s), and were cancelled: after its "
                "yield, a lifespan should cancel the tasks that it started", self.grace,
            )  # fmt: skip
        if failure is not None:
            raise failure
        if not completed:
            await trio.lowlevel.checkpoint_if_cancelled()
            names = ", ".join(map(str, self.lifespans.ordered))
            raise ConfigError(
                f"{names}: cancelled from inside, by a scope or a nursery around the yield, which "
                "stopped the worker: to stop it on purpose, raise an exception or send a signal"
            )

    async def _enter(self, lifespan: Lifespan, stack: AsyncExitStack) -> None:
        opened = lifespan.open()
        state = await opened.enter()
        stack.push_async_exit(_Exit(opened))
        lifespan.check_state(state)
        self.lifespans.states[lifespan] = state

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the work in a task of its own, so that this one notices a cancelled lifespan."""
        ended = trio.Event()

        async def run() -> None:
            try:
                await work()
            finally:
                ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            try:
                await ended.wait()
            except trio.Cancelled:
                self.stop_now()
                raise


@attrs.frozen(eq=False)
class _Exit:
    """Leaves a lifespan and logs its error, since another error may be raised instead."""

    _opened: OpenLifespan

    async def __call__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        try:
            return await self._opened.leave(kind, error, trace)
        except BaseException as raised:
            inner = innermost(raised)
            if raised is not error and not isinstance(inner, trio.Cancelled):
                text = f"{type(inner).__name__}: {inner}"
                log.exception("%s failed: %s", self._opened.lifespan, text)
            raise
