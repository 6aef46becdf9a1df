"""An app with a schedule, served by worker processes that are killed and started again."""

from __future__ import annotations

import rediq_trio as rediq

PERIOD = 0.5
"""Seconds from one tick to the next."""
QUEUE = "ticks"

app = rediq.App("timekeeper")


@app.task("tick", queue=QUEUE, retention=3600)
async def tick() -> None:
    """Do nothing: the tests look at what was enqueued."""


app.schedule("often", rediq.Every(PERIOD, catch_up="all"), tick.task())
