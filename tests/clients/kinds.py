"""Kinds: the three kinds of clients, so that one scenario runs on each.

A scenario is an `async` function that passes what a method returns to `done`: it awaits an awaitable
and returns anything else. With a blocking client nothing is awaited, so the scenario never suspends.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

import rediq_trio as rediq

T = TypeVar("T")
Scenario = Callable[[Any], Awaitable[T]]


async def done(value: Any) -> Any:
    """Return what a method returned, awaited if it is awaitable."""
    return await value if inspect.isawaitable(value) else value


async def listed(items: Any) -> list[Any]:
    """Return what an iterator yields."""
    return [item async for item in items] if hasattr(items, "__aiter__") else [*items]


def run_asyncio(main: Callable[[], Any]) -> Any:
    """Run an asyncio program on the plain event loop, as a program does that has never met Trio."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main())


def on_trio(scenario: Scenario[T], url: Any, **options: Any) -> T:
    """Run a scenario with a Trio client."""

    async def main() -> T:
        async with rediq.connect(url, **options) as client:
            return await scenario(client)

    return trio.run(main)


def on_asyncio(scenario: Scenario[T], url: Any, **options: Any) -> T:
    """Run a scenario with an asyncio client."""

    async def main() -> T:
        async with rediq.asyncio.connect(url, **options) as client:
            return await scenario(client)

    found: T = run_asyncio(main)
    return found


def blocking(scenario: Scenario[T], url: Any, **options: Any) -> T:
    """Run a scenario with a blocking client."""
    with rediq.connect_sync(url, **options) as client:
        made = scenario(client).__await__()
        try:
            next(made)
        except StopIteration as end:
            value: T = end.value
            return value
        raise AssertionError("a scenario with a blocking client was suspended")


KINDS: dict[str, tuple[Callable[..., Any], str]] = {
    "trio": (on_trio, ""),
    "asyncio": (on_asyncio, "Asyncio"),
    "blocking": (blocking, "Sync"),
}
"""How each kind runs a scenario, and what its classes' names begin with."""


@contextmanager
def worker(app: rediq.App, url: Any, **options: Any) -> Generator[None]:
    """Serve an app in a thread while the block lasts."""
    serving, stop = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    async def main() -> None:
        async with rediq.serve(app, url, **options):
            serving.set()
            while not stop.is_set():
                await trio.sleep(0.02)

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            errors.append(error)
        serving.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert serving.wait(60)
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert errors == []


@contextmanager
def silent_server() -> Generator[str]:
    """Yield the URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"


def in_threads(count: int, do: Callable[[int], T]) -> list[T]:
    """Call a function in several threads at the same time; return what the calls returned."""
    found: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            found[number] = do(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
    return found


def active(client: Any) -> int:
    """Return how many calls a client is making."""
    calls = client._calls
    run = (calls.thread if hasattr(calls, "thread") else calls._thread)._run
    return len(run._nursery.child_tasks) - len(run._idle)


def client_threads() -> Iterator[threading.Thread]:
    """Return the threads of clients that are running."""
    return (thread for thread in threading.enumerate() if thread.name == "rediq client")
