"""The clients of a fleet: each enqueues its works, and waits for their ends."""

from __future__ import annotations

from collections import Counter

import trio

from rediq_trio._errors import RediqError
from rediq_trio.client import Client, connect
from rediq_trio.handlers.app import App
from rediq_trio.testing.fleets.plan import ActionKind, FaultPlan, Work
from rediq_trio.testing.fleets.watching import FleetWatch
from rediq_trio.testing.network import SimNetwork

_OF_QUEUES = frozenset({ActionKind.PAUSE, ActionKind.RESUME, ActionKind.FLUSH})


class FleetClients:
    """The clients of one run, each on a host of its own."""

    def __init__(self, app: App, network: SimNetwork, watch: FleetWatch) -> None:
        self._app, self._network, self._watch = app, network, watch
        self._clients: dict[int, Client] = {}
        self._under_way = Counter[str]()
        """Works that are under way, by their text."""

    def start(self, plan: FaultPlan) -> None:
        """Start the clients and their works."""
        world = self._network.world
        for n in range(plan.clients):
            wire = self._network.connect(f"c{n}")
            self._watch.facts.born[f"c{n}"] = world.now
            world.start(wire.host, self._hold_client, n)
        for work in plan.works:
            world.start(self._network.wires[f"c{work.client}"].host, self._do_work, work)

    def waiting(self) -> list[str]:
        """Return the works whose client still waits."""
        return [text for text, count in self._under_way.items() if count]

    async def _hold_client(self, number: int) -> None:
        wire = self._network.wires[f"c{number}"]
        while not self._network.world.over:
            try:
                async with connect(wire, app=self._app) as client:
                    self._clients[number] = client
                    await trio.sleep_forever()
            except RediqError:
                await trio.sleep(1.0)

    async def _do_work(self, work: Work) -> None:
        await trio.sleep_until(work.at)
        while work.client not in self._clients:
            await trio.sleep(0.1)
        text = str(work)
        self._under_way[text] += 1
        try:
            await self._enqueue_and_wait(work, self._clients[work.client])
        except RediqError as error:
            # The caller of a client has to expect these during faults; the oracles judge the rest.
            self._watch.note(f"c{work.client} {work.type}: {type(error).__name__}")
        finally:
            self._under_way[text] -= 1

    async def _enqueue_and_wait(self, work: Work, client: Client) -> None:
        handle = await client.enqueue(work.task())
        for action in work.actions:
            await trio.sleep(action.after)
            target = client.queue(work.task().queue) if action.kind in _OF_QUEUES else handle
            await getattr(target, action.kind.value)(**action.options)
        begun = trio.current_time()
        info = await handle.wait()
        if info.finished_at is not None:
            ended = self._watch.seconds(round(info.finished_at.timestamp() * 1000))
            self._watch.answered(handle.id, f"c{work.client}", max(ended, begun))
