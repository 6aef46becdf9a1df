"""A viewer: looks at the queues all through a run, and records their histories with what it saw.

It looks as the web page and the terminal do, through the same faults of the network as everybody. The
histories come straight from the server. `rediq_trio.testing.judge.seen` says why both ends of a look are steps,
and compares.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from rediq_trio.admin.history_file import entry_line, header_line
from rediq_trio.observe.views import FleetView, QueueView, look
from rediq_trio.spec.history.replay import ReplaySettings
from rediq_trio.store.port import BATCH
from rediq_trio.testing.judge.seen import SEEN_NUMBERS, VIEWED
from tests.chaos.ground import Ground
from tests.chaos.kinds import QUEUES

EVERY = 0.5
"""Seconds from one look to the next."""
KEPT = 500_000
"""Steps that each queue keeps: those of some minutes, in which the viewer may be kept from reading."""


async def keep_histories(client: rediq.Client) -> None:
    """Let the queues record their steps, before the first one."""
    for name in QUEUES:
        await client.queue(name).keep_history(KEPT)


@asynccontextmanager
async def viewing(ground: Ground) -> AsyncGenerator[None]:
    """Look at the queues while the block lasts."""
    viewer = Viewer(ground.folder / VIEWED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(viewer.run, ground.url, ground.fleet.url)
        yield
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class Viewer:
    """What one viewer has read so far."""

    folder: Path
    known: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(QUEUES, 0))
    """Queue -> the last step that was read of it."""
    view: FleetView | None = None

    async def run(self, direct: str, faulty: str) -> None:
        """Look until cancelled; whatever a fault keeps from it is tried again."""
        steps = self.folder / "steps"
        steps.mkdir(parents=True)
        for name in QUEUES:
            (steps / f"{name}.jsonl").write_text(header_line(name, KEPT, ReplaySettings()) + "\n")
        while True:
            try:
                async with rediq.connect(direct) as near, rediq.connect(faulty) as far:
                    while True:
                        await self._look(near, far)
                        await trio.sleep(EVERY)
            except rediq.RediqError:
                await trio.sleep(EVERY)

    async def _look(self, near: rediq.Client, far: rediq.Client) -> None:
        await self._follow(near)
        since = dict(self.known)
        self.view = await look(far, before=self.view)
        await self._follow(near)
        queues = {
            each.name: _as_seen(each, since[each.name], self.known[each.name])
            for each in self.view.queues
        }
        self._append("views.jsonl", [json.dumps({"queues": queues})])

    async def _follow(self, client: rediq.Client) -> None:
        """Read the histories to their ends."""
        for name in QUEUES:
            while page := await client._store.history(name, after=self.known[name], limit=BATCH):
                self._append(f"steps/{name}.jsonl", map(entry_line, page))
                self.known[name] = page[-1].number
                if len(page) < BATCH:
                    break

    def _append(self, name: str, lines: Any) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def _as_seen(queue: QueueView, since: int, until: int) -> dict[str, Any]:
    numbers = {name: int(getattr(queue.stats, name)) for name in SEEN_NUMBERS}
    lately = None
    if (recent := queue.recent) is not None:
        lately = {"totals": recent.totals, "failed": recent.failed, "deaths": recent.deaths}
    return {"since": since, "until": until, "numbers": numbers, "lately": lately}
