"""The soak's worker: `python -m tests.chaos.soak.worker URL`.

It serves until its standard input closes. For each line that it reads there it says, as a
line of JSON, how it is.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter

import trio

import rediq_trio as rediq
from tests.chaos.soak.chores import KEPT, OTHER, QUEUE, make_app
from tests.chaos.soak.own import count_types, look_at_self

LISTED = 8
"""Types of objects that grew most, which it names."""


async def run(url: str, leaks: bool) -> None:
    """Serve, and answer questions."""
    first: Counter[str] | None = None
    app = make_app(leaks=leaks)
    async with rediq.serve(
        app, url, queues=[QUEUE, OTHER], concurrency=20, lease=10, dead_retention=KEPT, threads=4
    ):
        print("ready", flush=True)
        while asked := await trio.to_thread.run_sync(sys.stdin.readline):
            figures: dict[str, object] = {**look_at_self(objects=True)}
            if asked.strip() == "types":
                now = count_types()
                grown = now - (first or now)
                first = first or now
                figures["grown"] = grown.most_common(LISTED)
            print(json.dumps(figures), flush=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--leaks", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)  # dead tasks are what the soak wants
    trio.run(run, given.url, given.leaks)


if __name__ == "__main__":
    main()
