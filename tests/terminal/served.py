"""An app whose tasks fail, run for long, and follow one another."""

import trio

import rediq_trio as rediq

app = rediq.App()
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x1b[9;9HX [bold red]boom[/] \u202egnp \x9b31m"


@app.task("billing:charge", queue="billing", max_retry=0)
async def charge(n: int) -> None:
    raise ValueError(f"card declined {HOSTILE}")


@app.task("video:encode", queue="video", timeout=3600)
async def encode() -> None:
    rediq.current_task().progress(40, f"frame 4 {HOSTILE}")
    await trio.sleep_forever()


@app.task("etl:load", queue="etl", max_retry=0)
async def load(n: int) -> int:
    if n == 2:
        raise RuntimeError("no rows")
    return n


app.schedule("nightly", rediq.Every(3600), load.task(n=1))
