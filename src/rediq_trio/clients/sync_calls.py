"""SyncCalls: calls that block their thread until the Trio thread has made them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.admin.search import TaskSearch
from rediq_trio.clients.trio_thread import ThreadCall, TrioThread
from rediq_trio.values.task import TaskInfo

P = ParamSpec("P")
T = TypeVar("T")

CANCEL_WAIT = 5.0
"""Seconds that an interrupted call may take to stop before the interrupt is raised."""
CHUNK = 100
"""Items of an async generator that are fetched in one call."""


def check_outside_trio() -> None:
    """Raise `ConfigError` in a Trio program, whose event loop a blocking call would block."""
    if trio.lowlevel.in_trio_run():
        raise ConfigError(
            "a blocking client would block Trio's event loop: inside Trio, use "
            "`async with rediq.connect(...)`"
        )


class SyncCalls:
    """Makes calls in the Trio thread, each of which blocks its caller. Callable from any thread."""

    def __init__(self, thread: TrioThread, closed: ThreadCall) -> None:
        self._thread = thread
        self._closed = closed

    def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call and return what it returns. An interrupt cancels the call, and is raised."""
        check_outside_trio()
        self._thread.check()
        ended = threading.Lock()
        ended.acquire()
        call = ThreadCall(lambda _: ended.release(), function, args, kwargs)
        wait_interruptibly(lambda: self._thread.submit(call), call, ended, self._thread.cancel)
        value: T = call.outcome()
        return value

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over what the Trio thread iterates over."""
        return _Items(self, items)

    def generate(self, items: AsyncGenerator[T]) -> Generator[T]:
        """Yield what an async generator yields, which is closed with this one."""
        try:
            while chunk := self.call(take_chunk, items):
                yield from chunk
        finally:
            if self._thread.usable() and not trio.lowlevel.in_trio_run():
                self.call(items.aclose)

    def search(self, search: TaskSearch) -> SyncTaskSearch:
        """Iterate over what a search finds in the Trio thread."""
        return SyncTaskSearch(self, search)

    def close(self) -> None:
        """Close the client, and wait until it is closed. Calls that run raise `ConnectionLost`."""
        self._thread.stop()
        self._thread.wait_stopped()
        self._closed.outcome()


def wait_interruptibly(
    submit: Callable[[], None],
    call: ThreadCall,
    ended: threading.Lock,
    cancel: Callable[[ThreadCall], None],
) -> None:
    """Submit a call and wait for it. A signal handler that raises cancels the call first."""
    try:
        submit()
        ended.acquire()
    except BaseException:
        # When the call had ended, the lock may be taken already.
        if not call.ended:
            cancel(call)
            ended.acquire(timeout=CANCEL_WAIT)
        raise


async def take_chunk(items: AsyncGenerator[T]) -> list[T]:
    """Return the next items of an async generator, none at its end."""
    taken: list[T] = []
    async for item in items:
        taken.append(item)
        if len(taken) == CHUNK:
            break
    return taken


class _Items(Generic[T]):
    def __init__(self, calls: SyncCalls, items: AsyncIterator[T]) -> None:
        self._calls = calls
        self._items = items

    def __iter__(self) -> _Items[T]:
        return self

    def __next__(self) -> T:
        anext: Any = self._items.__anext__
        try:
            item: T = self._calls.call(anext)
        except StopAsyncIteration:
            raise StopIteration from None
        return item


class SyncTaskSearch:
    """An iterator of the tasks that `SyncQueue.find` finds. It may be left at any point."""

    def __init__(self, calls: SyncCalls, search: TaskSearch) -> None:
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

    def __iter__(self) -> SyncTaskSearch:
        return self

    def __next__(self) -> TaskInfo:
        if not self._taken:
            self._taken += self._calls.call(self._search.take)
        if not self._taken:
            raise StopIteration
        return self._taken.popleft()

    def close(self) -> None:
        """End the search: whatever comes next is its end. It need not be called."""
        self._calls.call(self._search.aclose)
        self._taken.clear()
