"""What every adapter has in common; it needs nothing but the standard library.

An adapter is run by the interpreter of its peer's own environment, with this folder in
`PYTHONPATH` and `-P`, as some adapters have the name of what they import:

    python -P adapters/<peer>.py produce URL --how single|together|bulk|timed --count N
    python -P adapters/<peer>.py work URL --concurrency N [--results]

It says one line of JSON when it is ready, waits for a line on its standard input, and begins.
A producer says a second line at its end. A worker says no more: its handlers note what they do
in files of `--folder`, which the benchmark reads, and it runs until it is killed. When its
standard input closes it kills itself and all that it started. Whatever a library prints goes
to standard error.

All instants are of `time.monotonic`, which the processes of one machine share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

CALLERS = 100
"""Concurrent callers in `together`, and the most that a timed producer has under way."""
THREADS = 16
"""The same for a library whose calls block: more threads only wait for one another."""
BY = 1000
"""Tasks in one bulk call."""
NAP = 0.01
"""Seconds that a task sleeps which does nothing else."""
KEPT = 3600
"""Seconds for which results are kept, when they are."""
HEAD = struct.Struct("<qd")
"""A worker's tally: how many handlers have ended, and when the first one started."""
STAMP = struct.Struct("<qd")
"""One start: the task's number and when."""

Task = tuple[str, dict[str, Any]]
"""A task's name (`noop`, `stamp`, `nap`, `carry`) and its payload."""


class Tally:
    """Counts the handlers that ended in this process, in a file that others read."""

    def __init__(self) -> None:
        self.folder = os.environ.get("PEERS_FOLDER", "")
        self._lock = threading.Lock()
        self._count = 0
        self._seen: mmap.mmap | None = None
        self._stamps = -1

    def _open(self) -> mmap.mmap:
        # At the first task, not before: some libraries fork once they are set up.
        path = Path(self.folder) / f"{os.getpid()}.tally"
        path.write_bytes(HEAD.pack(0, time.monotonic()))
        with path.open("r+b") as file:
            self._seen = mmap.mmap(file.fileno(), HEAD.size)
        self._stamps = os.open(path.with_suffix(".stamps"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        return self._seen

    def begin(self) -> None:
        """Note that a handler starts."""
        if self._seen is None:
            with self._lock:
                if self._seen is None:
                    self._open()

    def end(self) -> None:
        """Note that a handler ends."""
        with self._lock:
            self._count += 1
            struct.pack_into("<q", self._seen, 0, self._count)  # type: ignore[arg-type]

    def stamp(self, number: int) -> None:
        """Note when the handler of this task started."""
        now = time.monotonic()
        self.begin()
        os.write(self._stamps, STAMP.pack(number, now))
        self.end()


tally = Tally()


def noop(i: int) -> None:
    """Do nothing: the handler of most measures."""
    tally.begin()
    tally.end()


def stamp(i: int) -> None:
    """Note the start."""
    tally.stamp(i)


def nap(i: int) -> None:
    """Sleep, in a thread."""
    tally.begin()
    time.sleep(NAP)
    tally.end()


def carry(text: str) -> None:
    """Take a payload; it is never run."""


async def async_noop(i: int) -> None:
    """Do nothing: the handler of most measures."""
    tally.begin()
    tally.end()


async def async_stamp(i: int) -> None:
    """Note the start."""
    tally.stamp(i)


async def async_nap(i: int) -> None:
    """Sleep, in asyncio."""
    tally.begin()
    await asyncio.sleep(NAP)
    tally.end()


async def async_carry(text: str) -> None:
    """Take a payload; it is never run."""


SYNC = {"noop": noop, "stamp": stamp, "nap": nap, "carry": carry}
ASYNC = {"noop": async_noop, "stamp": async_stamp, "nap": async_nap, "carry": async_carry}


class Order:
    """What an adapter is asked to do."""

    def __init__(self, given: argparse.Namespace, say: Callable[[dict[str, Any]], None]) -> None:
        self.role: str = given.role
        self.url: str = given.url
        self.how: str = given.how
        self.count: int = given.count
        self.payload: int = given.payload
        self.task: str = given.task
        self.times: list[float] = json.loads(Path(given.times).read_text()) if given.times else []
        self.concurrency: int = given.concurrency
        self.results: bool = given.results
        self.variant: str = given.variant
        self.bulk_callers: int = given.bulk_callers
        self._say = say

    @property
    def host(self) -> str:
        """The server's host."""
        return self.url.split("//")[1].rsplit(":", 1)[0]

    @property
    def port(self) -> int:
        """The server's port."""
        return int(self.url.rsplit(":", 1)[1])

    def tasks(self) -> list[Task]:
        """Make the tasks of this order."""
        if self.payload:
            return [("carry", {"text": "x" * self.payload}) for _ in range(self.count)]
        return [(self.task, {"i": i}) for i in range(self.count)]

    def ready(self, **facts: Any) -> None:
        """Say that all is set up, and wait until the benchmark lets go."""
        self._say({"ready": facts})
        if not os.read(0, 100):
            _end()
        threading.Thread(target=_follow, daemon=True).start()

    def unsettled(self, *commands: list[str]) -> None:
        """Say that the worker is ready, and how Redis tells what is not settled yet.

        Each command is answered by a number, or by an array that begins with one; nothing is
        left once they are all 0.
        """
        self.ready(left=commands)

    def produced(self, begin: float, cpu: float, sent: list[float] | None = None) -> None:
        """Say how long it took."""
        took, used = time.monotonic() - begin, time.process_time() - cpu
        self._say({"seconds": took, "cpu": used, "sent": sent or []})


def _end() -> NoReturn:
    if os.getpgid(0) == os.getpid():  # not when it is tried by hand, in the group of a shell
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _follow() -> None:
    # The benchmark holds the other end, however it ends. Not by `sys.stdin`: whoever is forked
    # meanwhile would wait for its lock for ever.
    while os.read(0, 100):
        pass
    _end()


def take_order() -> Order:
    """Read the command line, and keep standard output for what is said to the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["produce", "work"])
    parser.add_argument("url")
    parser.add_argument("--how", choices=["single", "together", "bulk", "timed"], default="bulk")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--payload", type=int, default=0, help="bytes; 0 for the task's number")
    parser.add_argument("--task", choices=["noop", "stamp", "nap"], default="noop")
    parser.add_argument("--times", help="file with the instants of `timed`, from its beginning on")
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--results", action="store_true")
    parser.add_argument("--variant", default="")
    parser.add_argument("--bulk-callers", type=int, default=1, help="who make the bulk calls")
    parser.add_argument("--folder", default="")
    given = parser.parse_args()
    os.environ["PEERS_FOLDER"] = tally.folder = given.folder
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.argv = sys.argv[:1]  # some libraries read it

    def say(line: dict[str, Any]) -> None:
        said.write(json.dumps(line) + "\n")
        said.flush()

    return Order(given, say)


def batches(tasks: list[Task]) -> Iterator[list[Task]]:
    """Give the tasks as bulk calls take them."""
    for i in range(0, len(tasks), BY):
        yield tasks[i : i + BY]


async def produce(
    order: Order,
    one: Callable[[str, dict[str, Any]], Awaitable[Any]],
    many: Callable[[list[Task]], Awaitable[Any]] | None = None,
) -> None:
    """Produce in asyncio: `one` enqueues a task, `many` a thousand in the peer's own bulk call.

    Without a bulk call, `bulk` is as many callers as `together` has.
    """
    tasks = order.tasks()
    await one("noop", {"i": -1})
    order.ready()
    begin, cpu = time.monotonic(), time.process_time()
    sent = [0.0] * len(order.times)
    if order.how == "single":
        for task in tasks:
            await one(*task)
    elif order.how == "bulk" and many is not None:
        left = batches(tasks)

        async def call_many() -> None:
            for batch in left:
                await many(batch)

        await asyncio.gather(*(call_many() for _ in range(order.bulk_callers)))
    elif order.how == "timed":
        slots = asyncio.Semaphore(CALLERS)
        running: set[asyncio.Task[None]] = set()

        async def send(number: int) -> None:
            sent[number] = time.monotonic()
            try:
                await one("stamp", {"i": number})
            finally:
                slots.release()

        for number, at in enumerate(order.times):
            if (early := begin + at - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await slots.acquire()
            task_ = asyncio.create_task(send(number))
            running.add(task_)
            task_.add_done_callback(running.discard)
        await asyncio.gather(*running)
    else:
        rest = iter(tasks)

        async def call() -> None:
            for task in rest:
                await one(*task)

        await asyncio.gather(*(call() for _ in range(CALLERS)))
    order.produced(begin, cpu, [begin, *sent] if order.times else None)


def produce_in_threads(
    order: Order,
    one: Callable[[str, dict[str, Any]], Any],
    many: Callable[[list[Task]], Any] | None = None,
) -> None:
    """Do the same with calls that block: callers are threads, and no bulk call is one caller."""
    tasks = order.tasks()
    one("noop", {"i": -1})
    order.ready()
    begin, cpu = time.monotonic(), time.process_time()
    sent = [0.0] * len(order.times)
    if order.how == "single" or (order.how == "bulk" and many is None):
        for task in tasks:
            one(*task)
    elif order.how == "bulk":
        assert many is not None
        for batch in batches(tasks):
            many(batch)
    elif order.how == "timed":

        def send(number: int) -> None:
            sent[number] = time.monotonic()
            one("stamp", {"i": number})

        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()

        def serve() -> None:
            while (number := waiting.get()) >= 0:
                send(number)

        threads = [threading.Thread(target=serve) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for number, at in enumerate(order.times):
            if (early := begin + at - time.monotonic()) > 0:
                time.sleep(early)
            waiting.put(number)
        for _ in threads:
            waiting.put(-1)
        for thread in threads:
            thread.join()
    else:
        rest: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        for task in tasks:
            rest.put(task)

        def call() -> None:
            while not rest.empty():
                try:
                    task = rest.get_nowait()
                except queue.Empty:
                    return
                assert task is not None
                one(*task)

        callers = [threading.Thread(target=call) for _ in range(THREADS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    order.produced(begin, cpu, [begin, *sent] if order.times else None)


async def produce_trio(
    order: Order,
    one: Callable[[str, dict[str, Any]], Awaitable[Any]],
    many: Callable[[list[Task]], Awaitable[Any]],
) -> None:
    """Do what `produce` does, in Trio."""
    import trio

    tasks = order.tasks()
    await one("noop", {"i": -1})
    order.ready()
    begin, cpu = time.monotonic(), time.process_time()
    sent = [0.0] * len(order.times)
    if order.how == "single":
        for task in tasks:
            await one(*task)
    elif order.how == "bulk":
        left = batches(tasks)

        async def call_many() -> None:
            for batch in left:
                await many(batch)

        async with trio.open_nursery() as nursery:
            for _ in range(order.bulk_callers):
                nursery.start_soon(call_many)
    elif order.how == "timed":
        slots = trio.Semaphore(CALLERS)

        async def send(number: int) -> None:
            sent[number] = time.monotonic()
            try:
                await one("stamp", {"i": number})
            finally:
                slots.release()

        async with trio.open_nursery() as nursery:
            for number, at in enumerate(order.times):
                if (early := begin + at - time.monotonic()) > 0:
                    await trio.sleep(early)
                await slots.acquire()
                nursery.start_soon(send, number)
    else:
        rest = iter(tasks)

        async def call() -> None:
            for task in rest:
                await one(*task)

        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(call)
    order.produced(begin, cpu, [begin, *sent] if order.times else None)


def run_uvloop(main: Callable[[], Awaitable[None]]) -> None:
    """Run asyncio on uvloop."""
    import uvloop

    async def whole() -> None:
        await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())
