"""What each act of the page is done to in a browser: a table with a scene for each act.

A scene prepares its subject, and returns the page on which the act has its button and the act's own path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import trio

import rediq_trio as rediq
from benchmarks.operate.filling import failure
from rediq_trio import Every, Task, Workflow
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from tests.browser.stage import WITHIN, Stage, process

Fill = str | Callable[[str], str]


@attrs.frozen
class Play:
    """What a scene is prepared with."""

    client: rediq.Client
    stage: Stage
    queue: str
    """A queue of the scene's own, which no worker serves."""
    stack: ExitStack
    """What is ended after the scene."""


Prepare = Callable[[Play], Awaitable[tuple[str, str]]]


@attrs.frozen
class Scene:
    """How an act is done, and what it says then."""

    prepare: Prepare
    says: str
    """A pattern of what the page says once it is done."""
    fills: Mapping[str, Fill] = MappingProxyType({})
    """What is typed, by the name of the field."""


async def buried(play: Play, count: int = 2) -> list[str]:
    """Put dead tasks in the queue of the scene; return their ids."""
    store = play.client._store
    made: list[Task[Any]] = [Task("t", {"n": n}, queue=play.queue) for n in range(count)]
    handles = await play.client.enqueue_many(made)
    claimed = await store.claim(
        play.queue, limit=count, lease_ms=10**7, worker="w", nonce=os.urandom(8)
    )
    fences = [lease.fence for lease in claimed.leases]
    # Kinds of failure by the queue: of each kind there is one queue only.
    await store.settle(play.queue, [failure(fence, hash(play.queue) % 20) for fence in fences])
    return [handle.id for handle in handles]


async def waiting(play: Play, **options: Any) -> str:
    """Enqueue a task that waits; return its id."""
    task: Task[Any] = Task("t", {"n": 1}, queue=play.queue, **options)
    return (await play.client.enqueue(task)).id


def on_queue(act: str, *, paused: bool = False) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        await waiting(play)
        if paused:
            await play.client.queue(play.queue).pause()
        path = f"/queues/{play.queue}"
        return path, f"{path}/{act}"

    return prepare


def on_list(act: str, state: str = "dead") -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        await (buried(play) if state == "dead" else waiting(play))
        path = f"/queues/{play.queue}/{state}"
        return f"{path}?all=match", f"{path}/{act}"

    return prepare


def on_task(act: str, *, dead: bool = False, **options: Any) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        path = "/tasks/" + ((await buried(play))[0] if dead else await waiting(play, **options))
        return path, f"{path}/{act}"

    return prepare


def on_dead(act: str) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        await buried(play)
        return f"/dead?queue={play.queue}&all=match", f"/dead/{act}"

    return prepare


def on_kind(act: str) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        await buried(play)
        (kind,) = await play.client.queue(play.queue).failures()
        return f"/failures/{kind.kind}?queue={play.queue}", f"/failures/{kind.kind}/{act}"

    return prepare


def on_schedule(act: str, *, paused: bool = False) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        schedules = play.client.schedules()
        await schedules.add(play.queue, Every(3600), Task("t", queue=play.queue))
        if paused:
            await schedules.pause(play.queue)
        path = f"/schedules/{play.queue}"
        return path, f"{path}/{act}"

    return prepare


async def add_schedule(play: Play) -> tuple[str, str]:
    return "/schedules", "/add/schedule"


async def a_running_worker(play: Play) -> tuple[str, str]:
    with trio.fail_after(WITHIN):
        while not (busy := [each for each in await play.client.workers() if each.running]):
            await trio.sleep(0.1)
    worker = busy[0]
    path = f"/workers/{quote(worker.instance)}"
    return path, f"{path}/stacks"


def on_worker(act: str, *, quiet: bool = False) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        # All workers of the fleet have one name, so each is known by its instance.
        known = {worker.instance for worker in await play.client.workers()}
        play.stack.enter_context(process("tests.browser.fleet", play.stage.url, play.stage.prefix))
        with trio.fail_after(WITHIN):
            while not (new := {each.instance for each in await play.client.workers()} - known):
                await trio.sleep(0.1)
        (worker,) = new
        if quiet:
            await play.client.worker(worker).quiet()
            with trio.fail_after(WITHIN):
                while (await play.client.worker(worker).info()).state != "quiet":
                    await trio.sleep(0.1)
        path = f"/workers/{quote(worker)}"
        return path, f"{path}/{act}"

    return prepare


def on_workflow(act: str) -> Prepare:
    async def prepare(play: Play) -> tuple[str, str]:
        flow = Workflow(play.queue)
        flow.add(Task("t", queue=play.queue), "one")
        handle = await play.client.enqueue(flow)
        if act == "retry":
            store = play.client._store
            claimed = await store.claim(
                play.queue, limit=1, lease_ms=10**7, worker="w", nonce=os.urandom(8)
            )
            await store.settle(play.queue, [failure(claimed.leases[0].fence, 1)])
        return f"/workflows/{handle.id}", f"/workflows/{handle.id}/{act}"

    return prepare


async def check_now(play: Play) -> tuple[str, str]:
    await waiting(play)
    return f"/check/{play.queue}", "/check-now"


FROM_PAGE = {"Sec-Fetch-Site": "same-origin"}


def shown(play: Play, path: str) -> str:
    """Return a page as it is now."""
    return httpx.get(play.stage.site + path, timeout=WITHIN).text


def sent(play: Play, path: str, **form: object) -> httpx.Response:
    """Send a form as the page does."""
    return httpx.post(play.stage.site + path, data=form, headers=FROM_PAGE, timeout=WITHIN)


async def work_under_way(play: Play) -> tuple[str, str]:
    await buried(play, 100)
    path = f"/queues/{play.queue}/dead/retry?all=match"
    question = shown(play, path)
    found = re.search(r'name="token" value="([^"]+)"', question)
    assert found is not None
    answer = sent(play, path, token=found[1], rate="1")
    work = answer.headers["location"]
    return work, f"{work}/stop"


BIG, BIG_TASKS = "acts-0-big", 150_000
"""A queue whose check takes longer than it takes to stop the one after it."""


async def check_under_way(play: Play) -> tuple[str, str]:
    big = play.client.queue(BIG)
    if not (await big.stats()).pending:
        await play.client.enqueue_many([Task("t", queue=BIG) for _ in range(BIG_TASKS)])
    await waiting(play)
    sent(play, "/check-now", queue=[BIG, play.queue])
    return f"/check/{play.queue}", f"/check/{play.queue}/stop"


async def broken(play: Play) -> tuple[str, str]:
    await waiting(play)
    keys = Keys(play.stage.prefix)
    async with open_gateway(parse_address(play.stage.url), keys) as gateway:
        await gateway.call("ZPOPMIN", keys.of(play.queue, ("pending",))[0])
    answered = sent(play, "/check-now", queue=play.queue)
    assert answered.status_code == 303, answered.text
    path = f"/check/{play.queue}"
    with trio.fail_after(WITHIN):
        while f"{path}/repair" not in shown(play, path):
            await trio.sleep(0.1)
    return path, f"{path}/repair"


TABLE: Mapping[str, Scene] = MappingProxyType({
    "/queues/{queue}/pause": Scene(on_queue("pause"), "Paused"),
    "/queues/{queue}/resume": Scene(on_queue("resume", paused=True), "Resumed"),
    "/queues/{queue}/flush": Scene(on_queue("flush"), "Flushed .*1 task deleted", {"name": "{queue}"}),
    "/queues/{queue}/limit": Scene(on_queue("limit"), "Set the limits", {"concurrency": "3"}),
    "/queues/{queue}/targets": Scene(on_queue("targets"), "a wait of 30", {"latency": "30s"}),
    "/queues/{queue}/{state}/retry": Scene(on_list("retry"), "2 tasks ready again"),
    "/queues/{queue}/{state}/cancel": Scene(on_list("cancel", "pending"), "1 task cancelled"),
    "/queues/{queue}/{state}/delete": Scene(on_list("delete"), "2 tasks deleted"),
    "/queues/{queue}/{state}/requeue": Scene(on_list("requeue"), "2 tasks moved", {"queue": "moved-to"}),
    "/tasks/{task:path}/retry": Scene(on_task("retry", dead=True), "Retried"),
    "/tasks/{task:path}/run-now": Scene(on_task("run-now", delay=7200), "is ready now"),
    "/tasks/{task:path}/cancel": Scene(on_task("cancel"), "Cancelled"),
    "/tasks/{task:path}/delete": Scene(on_task("delete", dead=True), "Deleted"),
    "/tasks/{task:path}/reschedule": Scene(on_task("reschedule"), "is due", {"delay": "10m"}),
    "/tasks/{task:path}/move": Scene(on_task("move"), "Moved", {"queue": "moved-to"}),
    "/tasks/{task:path}/again": Scene(on_task("again", dead=True), "Enqueued .* again"),
    "/tasks/{task:path}/edit": Scene(
        on_task("edit"), "Changed priority",
        {"text": lambda text: re.sub(r'("priority": )\d+', r"\g<1>7", text)},
    ),
    "/failures/{kind}/retry": Scene(on_kind("retry"), "2 tasks ready again"),
    "/failures/{kind}/delete": Scene(on_kind("delete"), "2 tasks deleted"),
    "/dead/retry": Scene(on_dead("retry"), "2 tasks ready again", {"rate": ""}),
    "/dead/delete": Scene(on_dead("delete"), "2 tasks deleted"),
    "/dead/requeue": Scene(on_dead("requeue"), "2 tasks moved", {"queue": "moved-to"}),
    "/workers/{worker}/quiet": Scene(on_worker("quiet"), "claims nothing now"),
    "/workers/{worker}/work": Scene(on_worker("work", quiet=True), "claims tasks again"),
    "/workers/{worker}/stop": Scene(on_worker("stop"), "is stopping"),
    "/workers/{worker}/stacks": Scene(a_running_worker, "slow"),
    "/schedules/{name}/run": Scene(on_schedule("run"), "."),
    "/schedules/{name}/pause": Scene(on_schedule("pause"), "Paused"),
    "/schedules/{name}/resume": Scene(on_schedule("resume", paused=True), "ticks again"),
    "/schedules/{name}/remove": Scene(on_schedule("remove"), "Removed"),
    "/schedules/{name}/edit": Scene(on_schedule("edit"), "ticks every 7200 s", {"every": "2h"}),
    "/add/schedule": Scene(add_schedule, "Added", {"name": "{queue}", "type": "t", "queue": "{queue}"}),
    "/workflows/{id}/cancel": Scene(on_workflow("cancel"), "ancelled"),
    "/workflows/{id}/retry": Scene(on_workflow("retry"), "ready"),
    "/bulk/{work}/stop": Scene(work_under_way, "Stopped"),
    "/check-now": Scene(check_now, "Checking"),
    "/check/{queue}/stop": Scene(check_under_way, "Stopped the check"),
    "/check/{queue}/repair": Scene(broken, "."),
})  # fmt: skip
"""How each act is done, by its path."""
