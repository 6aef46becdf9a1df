"""Each rule finds what it is for where it happens: in the memory store, or on a real Redis."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.observe.alerts import Alert, alerts_of
from rediq_trio.observe.recent import RECENT_READ_AT_ONCE
from rediq_trio.observe.sampler import sampling
from rediq_trio.observe.views import FleetView, look
from rediq_trio.spec.messages import Failed
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.worker.reporting.recent import RECENT, RecentCount
from tests.actors.parts import Watched
from tests.servers import Server

WITHIN = 30.0
app = rediq.App()


released: list[trio.Event] = []
"""For what the attempt of `shielded` waits."""


@app.task("noop")
async def noop() -> None: ...


@app.task("block")
async def block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251  (what a handler must not do)


@app.task("shielded", timeout=0.05)
async def shielded() -> None:
    with trio.CancelScope(shield=True):
        await released[0].wait()


@app.task("slow")
async def slow() -> None:
    await trio.sleep(WITHIN)


def found(view: FleetView) -> dict[str, Alert]:
    """Return the alerts by rule."""
    return {alert.rule: alert for alert in alerts_of(view)}


async def until(rule: str, client: rediq.Client) -> Alert:
    """Look until a rule finds something."""
    with trio.fail_after(WITHIN):
        while True:
            if (alert := found(await look(client)).get(rule)) is not None:
                return alert
            await trio.sleep(0.05)


class Past:
    """A memory store whose clock is set."""

    def __init__(self) -> None:
        self.now = round(time.time() * 1000) - 3_600_000
        self.store = MemoryStore(lambda: self.now)

    async def fail(self, count: int, *, kind: str = "", final: bool = True) -> None:
        """Let so many new tasks of the queue q fail."""
        async with rediq.connect(self.store) as client:
            await client.enqueue_many([rediq.Task("t", queue="q") for _ in range(count)])
            await self.sample()
            claimed = await self.store.claim(
                "q", limit=count, lease_ms=10_000, worker="w", nonce=uuid.uuid4().bytes[:8]
            )
            outcomes = [
                Failed(lease.fence, "no", 0, final=final, kind=kind, detail=b"")
                for lease in claimed.leases
            ]
            await self.store.settle("q", outcomes)
            await self.sample()

    async def sample(self) -> None:
        self.now += 10_000
        await self.store.sample("q", known=-1, unseen_ms=0)


async def test_deaths_are_an_alert_for_ten_minutes() -> None:
    past = Past()
    async with rediq.connect(past.store) as client:
        await past.fail(3)
        view = await look(client)
        assert found(view)["dead-growing"].text == "3 tasks died in the last 10 min"
        assert "dead" in found(view)
        past.now += 601_000
        await past.sample()
        assert {*found(await look(client, before=view))} == {"dead"}
        assert {*found(await look(client))} == {"dead"}


async def test_a_kind_is_new_for_an_hour_though_nothing_is_read_again() -> None:
    past = Past()
    async with rediq.connect(past.store) as client:
        await past.fail(1, kind="0123456789ab", final=False)
        view = await look(client)
        assert found(view)["new-failure"].subject == "q"
        assert "dead-growing" not in found(view)
        past.now += 3_500_000
        view = await look(client, before=view)
        assert "new-failure" in found(view)
        past.now += 200_000
        assert "new-failure" not in found(await look(client, before=view))
        assert "new-failure" not in found(await look(client))


async def test_a_schedule_whose_tick_nobody_makes_is_an_alert() -> None:
    past = Past()
    async with rediq.connect(past.store) as client:
        await client.schedules().add("nightly", rediq.Every(600), rediq.Task("t", queue="q"))
        assert found(await look(client)) == {}
        past.now += 600_000 + 61_000
        alert = found(await look(client))["missed-tick"]
        assert alert.subject == "q"
        assert alert.text.startswith("the tick of its schedule nightly was due ")
        await client.schedules().pause("nightly")
        past.now += 20_000
        assert found(await look(client)) == {}


async def test_what_waits_pauses_and_dies_is_an_alert() -> None:
    past = Past()
    async with rediq.connect(past.store) as client:
        await client.enqueue(noop.options(queue="q").task())
        assert found(await look(client))["no-worker"].text.endswith("it has 1 waiting task")
        await client.queue("q").pause()
        assert "paused" in found(await look(client))


async def test_too_many_failures_are_an_alert() -> None:
    past = Past()
    async with rediq.connect(past.store) as client:
        await past.fail(20)
        await client.queue("q").targets(failures=0.5)
        assert found(await look(client))["failing"].next_step == "rediq failures q"


async def test_a_task_that_waits_for_long_is_an_alert() -> None:
    past = Past()
    async with rediq.serve(app, past.store, queues=["q"], heartbeat=0.1) as server:
        await server.client.queue("q").limit(rate=rediq.Rate(1, per=3600))
        await server.client.enqueue_many([noop.options(queue="q").task() for _ in range(2)])
        while not server.stats().completed:
            await trio.sleep(0.01)
        past.now += 61_000
        await until("late", server.client)
        await server.stop()


async def test_a_blocked_loop_and_a_stuck_attempt_are_alerts() -> None:
    options = {"lease": 1.0, "heartbeat": 0.05, "cleanup_grace": 0.1, "name": "w"}
    async with rediq.serve(
        app,
        MemoryStore(),
        shutdown_grace=0,
        **options,  # type: ignore[arg-type]
    ) as server:
        await server.client.enqueue(block.task(0.6))
        assert (await until("loop-blocked", server.client)).subject == "w"
        released[:] = [trio.Event()]
        await server.client.enqueue(shielded.task())
        assert (await until("stuck", server.client)).next_step == "restart the worker w"
        released[0].set()
        await server.stop()


async def test_a_lost_lease_and_redis_away_are_alerts() -> None:
    store = Watched()
    options = {"lease": 1.0, "heartbeat": 0.05, "cleanup_grace": 0.5, "name": "w"}
    async with (
        rediq.serve(app, store, shutdown_grace=0, patience=0, **options) as server,  # type: ignore[arg-type]
        sampling(server.client, every=0.05) as sampler,
    ):
        await server.client.enqueue(slow.task())
        while not server.stats().running:
            await trio.sleep(0.01)
        with sampler.views() as views, trio.fail_after(WITHIN):
            store.away = True
            while "redis-away" not in found(await views.receive()):
                pass
            while server.stats().running:
                await trio.sleep(0.01)
            store.away = False
            while "leases-lost" not in found(await views.receive()):
                pass
        await server.stop()


async def test_writes_that_are_not_confirmed_are_an_alert(redis_server: Server) -> None:
    prefix = uuid.uuid4().hex[:8]
    async with rediq.serve(
        app, redis_server.url, key_prefix=prefix, durability="replicated", heartbeat=0.1, name="w"
    ) as server:
        async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
            await client.enqueue(noop.task())
            assert (await until("unconfirmed", client)).subject == "w"
        await server.stop()


async def test_a_queue_of_a_broken_server_is_an_alert_and_the_others_are_read(
    redis_server: Server,
) -> None:
    async with at(redis_server) as (client, gateway, keys):
        await client.enqueue_many([noop.options(queue=q).task() for q in ("a", "b")])
        (meta,) = keys.of("a", ("meta",))
        await gateway.call(b"DEL", meta)
        await gateway.call(b"SET", meta, b"text")
        view = await look(client)
        assert found(view)["queue-unread"].subject == "a"
        assert [each.name for each in view.queues] == ["b"]


async def test_a_full_server_is_an_alert_and_one_that_may_not_be_asked_is_unknown(
    redis_server: Server,
) -> None:
    async with at(redis_server) as (client, gateway, _):
        assert found(await look(client)) == {}
        # Above what is used, so that nothing is refused, and by less than a fifth.
        used = (await client._store.server_memory())[0].used
        try:
            await gateway.call(b"CONFIG", b"SET", b"maxmemory", round(used * 1.15))
            alert = found(await look(client))["memory"]
            assert alert.text.endswith("%)")
        finally:
            await gateway.call(b"CONFIG", b"SET", b"maxmemory", 0)
        await gateway.call(b"ACL", b"SETUSER", b"default", b"-info")
        try:
            view = await look(client)
        finally:
            await gateway.call(b"ACL", b"SETUSER", b"default", b"+info")
        assert found(view) == {}
        assert view.checked is not None
        assert view.checked.memory is None
        assert "info" in view.unknown["memory"].lower()


async def test_a_thousand_idle_queues_cost_a_few_calls() -> None:
    store = Watched()
    async with rediq.connect(store) as client:
        names = [f"q{n:04}" for n in range(1000)]
        await client.enqueue_many(
            [noop.options(queue=q, delay=None if q == "q0007" else 60).task() for q in names]
        )
        store.calls.clear()
        view = await look(client)
        assert len(view.queues) == 1000
        assert Counter(store.calls) == {
            "overview": 1, "partitions": 2, "queues": 2, "server_memory": 1, "stats": 1,
            "with_schedules": 1, "workers": 1,
        }  # fmt: skip
        store.calls.clear()
        assert len((await look(client, before=view)).queues) == 1000
        assert len(store.calls) == 6  # schedules and servers are not read again


async def test_of_many_queues_in_which_something_failed_some_are_read_for_a_view() -> None:
    store = Watched()
    many = RECENT_READ_AT_ONCE + 5
    async with rediq.connect(store) as client:
        for n in range(many):
            await client.enqueue(rediq.Task("t", queue=f"q{n:03}"))
            claimed = await store.claim(
                f"q{n:03}", limit=1, lease_ms=10_000, worker="w", nonce=b"n" * 8
            )
            await store.settle(f"q{n:03}", [Failed(claimed.leases[0].fence, "no", 0, final=True)])
        store.calls.clear()
        first = await look(client)
        assert store.calls.count("series") == store.calls.count("failure_kinds") == RECENT_READ_AT_ONCE
        assert first.unknown["new-failure"].startswith("5 queues more were not read yet")
        assert sum(each.recent is None for each in first.queues) == 5
        store.calls.clear()
        second = await look(client, before=first)
        assert store.calls.count("series") == 5
        assert not second.unknown
        assert all(each.recent is not None for each in second.queues)
        assert len([alert for alert in alerts_of(second) if alert.rule == "dead-growing"]) == many


def test_what_grew_is_what_grew_of_late() -> None:
    count = RecentCount()
    assert [count.grown(now, total) for now, total in ((0, 0), (1, 2), (2, 2), (300, 5))] == [
        0, 2, 2, 5,
    ]  # fmt: skip
    assert count.grown(RECENT, 5) == 5
    assert count.grown(RECENT + 1, 5) == 3
    assert count.grown(RECENT + 300, 5) == 0
    assert count.grown(RECENT + 300, 6) == 1


@asynccontextmanager
async def at(server: Server) -> AsyncGenerator[tuple[rediq.Client, Gateway, Keys]]:
    """Open a client with a prefix of its own, and a way to the server beside it."""
    prefix = f"see-{uuid.uuid4().hex[:8]}"
    keys = Keys(prefix)
    async with (
        rediq.connect(server.url, key_prefix=prefix, patience=0) as client,
        open_gateway(parse_address(server.url), keys) as gateway,
    ):
        yield client, gateway, keys
