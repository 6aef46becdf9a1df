"""A worker's health when things really go wrong, and when they do not."""

from __future__ import annotations

import math
import re
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.worker.health import POLL_OVERDUE, REDIS_AWAY_MAX
from rediq_trio.worker.poller import CLAIM_DEADLINE, POLL_INTERVAL
from tests.faults.crew import WITHIN, Crew, check_sound, crew, until
from tests.faults.laborer import labor, stall

NOTICED = 1.2 * POLL_INTERVAL + CLAIM_DEADLINE + REDIS_AWAY_MAX
"""Seconds within which a worker is unready when Redis is away: its next look, the longest wait for
an answer, and what is let pass."""
app = rediq.App()


@app.task("waits", timeout=math.inf)
async def waits() -> None:
    await trio.sleep_forever()


@app.task("works-in-a-thread", timeout=math.inf)
def works_in_a_thread() -> None:
    time.sleep(POLL_OVERDUE + 4)


async def test_a_handler_that_blocks_past_its_lease_is_fenced_named_and_its_task_completed_once() -> (
    None
):
    with crew() as us:
        said = us.log.with_name("stalled.err")
        with said.open("wb") as errors:
            stalled = us.hire(concurrency=1, stderr=errors)
        async with rediq.connect(us.server.url) as client:
            queue = client.queue("default")
            handle = await client.enqueue(stall.task())

            async def begun() -> bool:
                return len(us.lines("begin")) == 1

            await until(begun)
            us.hire(concurrency=1)
            # The second attempt ends at once; the first one blocks its loop until it has.
            info = await handle.wait(timeout=WITHIN)
            assert (info.state, info.crashes, info.deliveries) == (State.COMPLETED, 1, 2)
            assert info.result == 2

            async def both_ended() -> bool:
                return len(us.lines("end")) == 2

            await until(both_ended)
            # It serves again: what it had to say of the first attempt has been said.
            probes = [labor.task(seconds=0.3) for _ in range(20)]
            await client.enqueue_many(probes)

            async def awake() -> bool:
                pids = {line[2] for line in us.lines("begin")[2:]}
                return str(stalled.pid) in pids and (await queue.stats()).completed_total == 21

            await until(awake)
            assert await handle.wait() == info
            await check_sound(queue)
        text = said.read_text("utf-8")
        assert re.search(rf"blocked for [\d.]+ s by the handler stall \(task {handle.id}\)", text)
        assert "in hold_up" in text
        assert re.search(r"runs again, after ([\d.]+) s", text)


@attrs.define
class Passage:
    """A way to a server by TCP that can fall silent: connections stay, and are made, and carry nothing."""

    socket: str
    port: int = 0
    silent: bool = False

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._carry, 0)
            port = listeners[0].socket.getsockname()[1]
            yield f"redis://127.0.0.1:{port}"
            nursery.cancel_scope.cancel()

    async def _carry(self, near: trio.SocketStream) -> None:
        async with await trio.open_unix_socket(self.socket) as far, trio.open_nursery() as nursery:
            nursery.start_soon(self._one_way, near, far, nursery.cancel_scope)
            nursery.start_soon(self._one_way, far, near, nursery.cancel_scope)

    async def _one_way(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        try:
            async for data in source:
                if not self.silent:
                    await target.send_all(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()


async def unready_and_back(
    url: str, way: str, away: Callable[[], None], back: Callable[[], None]
) -> None:
    """Take Redis away from a worker, and give it back; its health follows by itself."""
    async with rediq.serve(app, url, cleanup_grace=1.0, unknown_type_patience=0.0) as server:

        async def ready() -> bool:
            return server.health().ready

        async def connected() -> bool:
            return server.health().connected

        async def unready() -> bool:
            return not server.health().ready

        async def told() -> bool:
            health = server.health()
            assert health.alive, (way, health.reasons)
            assert not health.ready, way
            return "Redis has not answered for" in " ".join(health.reasons)

        await until(ready)
        away()
        try:
            took = await until(unready)
            # Where no call was under way, that the poller had no answer may be seen first.
            took += await until(told)
            assert took <= NOTICED, way
        finally:
            back()
        await until(ready)
        # One actor's answer makes it ready; each has one of its own soon.
        await until(connected)
        handle = await server.client.enqueue(rediq.Task("gone"))
        assert (await handle.wait(timeout=WITHIN)).state is State.DEAD


@pytest.mark.slow
@pytest.mark.uncounted
async def test_while_redis_is_away_a_worker_is_unready_and_recovers_by_itself() -> None:
    with crew() as killed, crew() as stopped, crew() as silent:
        passage = Passage(f"{silent.server.folder}/s")
        async with passage.open() as url, trio.open_nursery() as nursery:

            def signalled(us: Crew, number: signal.Signals) -> Callable[[], None]:
                child = us.server.child
                assert child is not None
                return lambda: child.send_signal(number)

            nursery.start_soon(
                unready_and_back,
                killed.server.url,
                "killed",
                killed.server.kill,
                killed.server.start,
            )
            nursery.start_soon(
                unready_and_back, stopped.server.url, "stopped",
                signalled(stopped, signal.SIGSTOP), signalled(stopped, signal.SIGCONT),
            )  # fmt: skip
            nursery.start_soon(
                unready_and_back, url, "silent",
                lambda: setattr(passage, "silent", True), lambda: setattr(passage, "silent", False),
            )  # fmt: skip


@pytest.mark.slow
@pytest.mark.uncounted
async def test_no_worker_that_does_what_it_can_is_ever_called_unhealthy() -> None:
    with crew() as us:
        async with trio.open_nursery() as nursery:
            serve = {"concurrency": 2, "lease": 6.0, "shutdown_grace": 0.0, "cleanup_grace": 1.0}

            async def watched(name: str, *tasks: rediq.Task[None]) -> None:
                async with rediq.serve(
                    app, us.server.url, queues=[name], name=name, **serve
                ) as server:  # type: ignore[arg-type]
                    queue = server.client.queue(name)
                    if name == "paused":
                        await queue.pause()
                    await server.client.enqueue_many(tasks)
                    seen = []
                    # Longer than a poller may go without an answer, and than two leases.
                    with trio.move_on_after(POLL_OVERDUE + 3):
                        while True:
                            seen.append(server.health())
                            await trio.sleep(0.05)
                    assert [h.reasons for h in seen if not h.healthy] == [], name
                    assert len(seen) > 50
                    running = server.stats().running
                    assert running == (2 if name in ("full", "threads") else 0), name

            nursery.start_soon(watched, "empty")
            nursery.start_soon(watched, "paused", waits.options(queue="paused").task())
            nursery.start_soon(watched, "full", *[waits.options(queue="full").task()] * 3)
            thread = works_in_a_thread.options(queue="threads").task()
            nursery.start_soon(watched, "threads", thread, thread, thread)
