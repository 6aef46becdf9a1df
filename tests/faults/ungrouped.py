"""An app without an aggregator, for workers of any version: it notes how many members its batches have."""

from __future__ import annotations

from typing import Any

from blend import note  # of this folder, which is on the path of the workers

import rediq_trio as rediq

app = rediq.App("ungrouped")


@app.task("plain")
async def plain(payloads: list[Any]) -> None:
    note("size", str(len(payloads)))
