"""The app that the tests of the command line serve: run in this folder, as `served:app`."""

import gc
import logging
import os
import sys
import time

import trio

import rediq_trio as rediq

if "--stop-with-stdin" in sys.argv and "SERVED_ENDS_WITH" in os.environ:
    os._exit(int(os.environ["SERVED_ENDS_WITH"]))  # in the workers of a supervisor only

if (wish := os.environ.get("SERVED_COLLECTS")) == "off":
    gc.disable()
elif wish:
    gc.set_threshold(int(wish))

if "SERVED_CONFIGURES_LOGGING" in os.environ:
    logging.basicConfig(format="mine: %(message)s")

already_frozen = gc.get_freeze_count()  # by Python itself: some versions do

app = rediq.App()
no_app = "text"


@app.task("pid")
async def pid() -> int:
    """Give the process that runs the task."""
    return os.getpid()


@app.task("collector")
async def collector() -> list[int]:
    """Give the garbage collector's thresholds, and how much it leaves alone since this was imported."""
    return [*gc.get_threshold(), gc.get_freeze_count() - already_frozen]


@app.task("warn", max_retry=0)
async def warn(text: str) -> None:
    """Log a text, and fail with it."""
    logging.getLogger("shop").warning(text)
    raise ValueError(text)


@app.task("sleep", timeout=1000)
async def sleep(seconds: float) -> str:
    """Wait on Trio, which a cancellation ends."""
    await trio.sleep(seconds)
    return "slept"


@app.task("wait-for", timeout=1000)
async def wait_for(path: str) -> str:
    """Wait until a file is there, and say with another one that it has begun."""
    await trio.Path(f"{path}.begun").touch()
    while not await trio.Path(path).exists():
        await trio.sleep(0.02)
    return "it is there"


@app.task("hang-once", timeout=1000)
async def hang_once() -> str:
    """Wait for ever in the first attempt, and end at once in the next."""
    if rediq.current_task().fence == 1:
        await trio.sleep_forever()
    return "not again"


@app.task("block", timeout=1000)
def block(seconds: float) -> str:
    """Wait in a thread, which nothing ends; say when."""
    print("in its thread", file=sys.stderr, flush=True)
    time.sleep(seconds)
    return "slept"


@app.task("block-loop", timeout=1000)
async def block_loop(seconds: float) -> str:
    """Block the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251  (what is tested)
    return "it runs again"
