"""A worker of the fault bench: `python -m tests.chaos.worker URL FOLDER NAME --lease 3`.

It serves until SIGTERM. A server that is away when it starts is waited for.
"""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path

import trio

import rediq_trio as rediq
from tests.chaos.kinds import QUEUES, make_app
from tests.chaos.observe import Observer


async def run(given: argparse.Namespace, observer: Observer) -> None:
    """Serve until a signal comes."""
    observer.note("boot")
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_until_told, given, observer, nursery)
            await anext(signals)
            given.told.set()
    observer.note("exit")


async def serve_until_told(
    given: argparse.Namespace, observer: Observer, nursery: trio.Nursery
) -> None:
    """Serve; when the server is away at the start, try again."""
    app = make_app(observer)
    while not given.told.is_set():
        try:
            async with rediq.serve(
                app,
                given.url,
                queues=QUEUES,
                concurrency=given.concurrency,
                lease=given.lease,
                shutdown_grace=1.0,
                cleanup_grace=1.0,
                name=observer.client,
                durability=given.durability,
            ):
                observer.ready()
                await given.told.wait()
        except rediq.ConnectionLost:
            await trio.sleep(0.2)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--seed")
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--concurrency", type=int, default=40)
    parser.add_argument("--durability", default="memory")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    given.told = trio.Event()
    trio.run(run, given, Observer(given.folder, given.name))


if __name__ == "__main__":
    main()
