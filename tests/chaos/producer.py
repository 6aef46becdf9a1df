"""A producer of the fault bench: `python -m tests.chaos.producer URL FOLDER NAME --rate 100`.

It tells stories of the mix, so many tasks a second, and catches up after what held it
up, until SIGTERM. Then it ends the stories that it has begun.
"""

from __future__ import annotations

import argparse
import random
import signal
from pathlib import Path

import trio

import rediq_trio as rediq
from tests.chaos.caller import Caller
from tests.chaos.kinds import QUEUES
from tests.chaos.mix import Mix
from tests.chaos.observe import Observer

AT_ONCE = 60
"""Stories that go on at once."""
BEHIND = 30.0
"""Seconds of work that it may be behind with, at most; the rest is forgotten."""
AHEAD = 3000
"""Ready tasks in a queue from which on it waits for the workers."""
FINISH_WITHIN = 15.0
"""Seconds that stories have to end."""


class Producer:
    """Tells stories at a pace."""

    def __init__(self, mix: Mix, rate: float) -> None:
        self._mix = mix
        self._rate = rate
        self._slots = trio.CapacityLimiter(AT_ONCE)
        self._held = False
        self.stopping = False

    async def run(self) -> None:
        """Run stories until `stopping`, and finish those that have begun."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as watching:
                watching.start_soon(self._watch)
                await self._tell(nursery)
                watching.cancel_scope.cancel()
            nursery.cancel_scope.deadline = trio.current_time() + FINISH_WITHIN

    async def _tell(self, nursery: trio.Nursery) -> None:
        begun, told = trio.current_time(), 0.0
        while not self.stopping:
            due = (trio.current_time() - begun) * self._rate
            told = max(told, due - BEHIND * self._rate)
            if told >= due or self._held:
                await trio.sleep(0.01)
                continue
            size, story = self._mix.choose()
            told += max(size, 0.2)
            token = object()
            await self._slots.acquire_on_behalf_of(token)
            nursery.start_soon(self._one, story, token)

    async def _one(self, story: object, token: object) -> None:
        try:
            await story()  # type: ignore[operator]
        finally:
            self._slots.release_on_behalf_of(token)

    async def _watch(self) -> None:
        client = self._mix.caller.client
        while True:
            await trio.sleep(0.5)
            try:
                ready = [(await client.queue(name).stats()).pending for name in QUEUES]
            except rediq.ConnectionLost:
                continue
            self._held = max(ready) > AHEAD


async def run(given: argparse.Namespace, observer: Observer) -> None:
    """Produce until a signal comes."""
    observer.note("boot")
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            told = trio.Event()
            nursery.start_soon(produce, given, observer, told)
            await anext(signals)
            told.set()
    observer.note("exit")


async def produce(given: argparse.Namespace, observer: Observer, told: trio.Event) -> None:
    """Connect, as often as it takes, and produce."""
    while not told.is_set():
        try:
            async with rediq.connect(given.url, durability=given.durability) as client:
                observer.ready()
                mix = Mix(Caller(client, observer), random.Random(given.seed))
                producer = Producer(mix, given.rate)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(producer.run)
                    await told.wait()
                    producer.stopping = True
        except rediq.ConnectionLost:
            await trio.sleep(0.2)


def main() -> None:
    """Read the command line and produce."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--durability", default="memory")
    given = parser.parse_args()
    trio.run(run, given, Observer(given.folder, given.name))


if __name__ == "__main__":
    main()
