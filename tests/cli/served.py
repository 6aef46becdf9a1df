"""The app that the tests of the command line serve: run in this folder, as `served:app`."""

import gc
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

app = rediq.App()
no_app = "text"


@app.task("pid")
async def pid() -> int:
    """Give the process that runs the task."""
    return os.getpid()


@app.task("collector")
async def collector() -> list[int]:
    """Give the garbage collector's thresholds, and how much it leaves alone."""
    return [*gc.get_threshold(), gc.get_freeze_count()]


@app.task("sleep", timeout=1000)
async def sleep(seconds: float) -> str:
    """Wait on Trio, which a cancellation ends."""
    await trio.sleep(seconds)
    return "slept"


@app.task("block", timeout=1000)
def block(seconds: float) -> str:
    """Wait in a thread, which nothing ends; say when."""
    print("in its thread", file=sys.stderr, flush=True)
    time.sleep(seconds)
    return "slept"
