"""AsyncioCalls: calls that an asyncio program awaits until the Trio thread has made them.

Calls that begin together wake Trio up once, and those that end together wake the event loop up once:
each side collects what it has for the other until its next turn. Otherwise the two threads would
pass the interpreter's lock to each other for every call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.admin.search import TaskSearch
from rediq_trio.clients.sync_calls import take_chunk
from rediq_trio.clients.trio_thread import ThreadCall, TrioThread
from rediq_trio.values.task import TaskInfo

P = ParamSpec("P")
T = TypeVar("T")

ANOTHER = "rediq.asyncio.connect()"


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the asyncio loop that runs here; raise `ConfigError` where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        instead = "outside of one, use rediq.connect_sync()"
        if trio.lowlevel.in_trio_run():
            instead = "inside Trio, use rediq.connect()"
        raise ConfigError(f"rediq.asyncio needs a running asyncio loop: {instead}") from None


class _AwaitedCall(ThreadCall):
    """A call with the future that its caller awaits."""

    __slots__ = ("delivered", "future")

    future: asyncio.Future[None]
    delivered: bool


class AsyncioCalls:
    """Makes calls in the Trio thread, each of which is awaited in the asyncio loop it belongs to."""

    def __init__(self) -> None:
        self._loop = running_loop()
        self._beginning: list[_AwaitedCall] = []
        self._ended: deque[ThreadCall] = deque()
        self._notified = False
        self.thread: TrioThread

    def new_call(self, *call: Any) -> _AwaitedCall:
        """Return a call that `wait` awaits: a function, its arguments and its keywords."""
        made = _AwaitedCall(self._notify, *call)
        made.future = self._loop.create_future()
        made.delivered = False
        return made

    async def call(
        self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Make a call and return what it returns. When cancelled, the call is cancelled first."""
        self.thread.check()
        if running_loop() is not self._loop:
            raise ConfigError(
                "this client was opened in another event loop: open one in each, with " + ANOTHER
            )
        call = self.new_call(function, args, kwargs)
        if not self._beginning:
            self._loop.call_soon(self._submit)
        self._beginning.append(call)
        try:
            await call.future
        except asyncio.CancelledError:
            await self._cancel(call, self.thread.cancel)
            raise
        value: T = call.outcome()
        return value

    def _submit(self) -> None:
        calls: list[ThreadCall] = []
        for call in self._beginning:
            if call.future.cancelled():
                call.delivered = True  # its caller was cancelled, and no call is made
            else:
                calls.append(call)
        self._beginning = []
        self.thread.submit_all(calls)

    async def wait(self, call: _AwaitedCall, cancel: Callable[[ThreadCall], None]) -> None:
        """Wait until a call has ended. When cancelled, cancel it, and wait until it has stopped."""
        try:
            await call.future
        except asyncio.CancelledError:
            await self._cancel(call, cancel)
            raise

    async def _cancel(self, call: _AwaitedCall, cancel: Callable[[ThreadCall], None]) -> None:
        if not call.delivered:
            cancel(call)
            # A second cancellation ends this wait too.
            call.future = self._loop.create_future()
            await call.future

    def _notify(self, call: ThreadCall) -> None:
        self._ended.append(call)
        if not self._notified:
            self._notified = True
            if trio.lowlevel.in_trio_run():
                # In Trio's next turn, when the other calls of this one have ended too.
                trio.lowlevel.current_trio_token().run_sync_soon(self._wake_loop)
            else:
                self._wake_loop()

    def _wake_loop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            pass  # the loop is closed, so nobody waits

    def _deliver(self) -> None:
        self._notified = False
        while self._ended:
            call = self._ended.popleft()
            assert isinstance(call, _AwaitedCall)
            call.delivered = True
            if not call.future.done():
                call.future.set_result(None)

    def iterate(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """Iterate over what the Trio thread iterates over."""
        return _AwaitedItems(self, items)

    def search(self, search: TaskSearch) -> AsyncioTaskSearch:
        """Iterate over what a search finds in the Trio thread."""
        return AsyncioTaskSearch(self, search)

    async def generate(self, items: AsyncGenerator[T]) -> AsyncGenerator[T]:
        """Yield what an async generator yields, which is closed with this one."""
        try:
            while chunk := await self.call(take_chunk, items):
                for item in chunk:
                    yield item
        finally:
            if self.thread.usable():
                await self.call(items.aclose)


class _AwaitedItems(Generic[T]):
    def __init__(self, calls: AsyncioCalls, items: AsyncIterator[T]) -> None:
        self._calls = calls
        self._items = items

    def __aiter__(self) -> _AwaitedItems[T]:
        return self

    async def __anext__(self) -> T:
        anext: Any = self._items.__anext__
        item: T = await self._calls.call(anext)
        return item


class AsyncioTaskSearch:
    """An async iterator of the tasks that `AsyncioQueue.find` finds. It may be left at any point."""

    def __init__(self, calls: AsyncioCalls, search: TaskSearch) -> None:
        self._calls = calls
        self._search = search
        self._taken: deque[TaskInfo] = deque()

    @property
    def cursor(self) -> str | None:
        """The place up to which it has looked; None before the first step and at the end."""
        return None if self._taken else self._search.cursor

    @property
    def looked_at(self) -> int:
        """How many tasks it has looked at."""
        return self._search.looked_at

    @property
    def of(self) -> int | None:
        """How many tasks are in the state, as it was last seen; None before the first step."""
        return self._search.of

    @property
    def unreadable(self) -> int:
        """How many of them this process cannot read, of those where that matters."""
        return self._search.unreadable

    def __aiter__(self) -> AsyncioTaskSearch:
        return self

    async def __anext__(self) -> TaskInfo:
        if not self._taken:
            self._taken += await self._calls.call(self._search.take)
        if not self._taken:
            raise StopAsyncIteration
        return self._taken.popleft()

    async def aclose(self) -> None:
        """End the search: whatever comes next is its end. It need not be called."""
        await self._calls.call(self._search.aclose)
        self._taken.clear()
