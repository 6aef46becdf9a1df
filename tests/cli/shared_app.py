"""An app with a lifespan, for the tests of the command line: run in this folder."""

import os
import sys
from collections.abc import AsyncGenerator

import trio

import rediq_trio as rediq

app = rediq.App[int]()
WISH = os.environ.get("SHARED_WISH", "")


def say(text: str) -> None:
    print(f"<{text} {os.getpid()}>", file=sys.stderr, flush=True)


@app.lifespan
async def lifespan() -> AsyncGenerator[int]:
    if WISH == "fail":
        raise OSError("the database is away")
    if WISH == "never":
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        say("open")
        if WISH == "slow":
            await trio.sleep_forever()
        yield os.getpid()
        say("close")
        nursery.cancel_scope.cancel()


@app.task("state")
async def state(wait: float = 0.0) -> int:
    """Return what the lifespan yielded, after some seconds."""
    say("begun")
    await trio.sleep(wait)
    say("ran")
    return app.state
