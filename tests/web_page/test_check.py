from __future__ import annotations

from typing import Any

import httpx
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.web.site.page import Right
from tests.servers import Server
from tests.web_page.visiting import visiting


async def checked(browser: httpx.AsyncClient, path: str = "/check") -> str:
    """Return a page once no check is under way."""
    with trio.fail_after(60):
        while True:
            text = (await browser.get(path)).text
            if "/stop" not in text:
                return text
            await trio.sleep(0.05)


async def raw(url: str, prefix: str, command: str, name: str, *args: Any) -> Any:
    keys = Keys(prefix)
    async with open_gateway(parse_address(url), keys) as gateway:
        return await gateway.call(command, keys.of("images", (name,))[0], *args)


async def test_the_invariants_are_shown_before_anything_was_checked() -> None:
    async with visiting() as browser:
        empty = (await browser.get("/check")).text
        assert "No queue was ever used" in empty
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue(Task("t", queue="images"))
        async with visiting(source=client) as browser:
            text = (await browser.get("/check")).text
            assert "Not checked since this page was started" in text
            assert text.count("not checked") == 1
            assert "It was not checked since" in (await browser.get("/check/images")).text
            assert (await browser.get("/check/none")).status_code == 404
            assert (await browser.get("/check/images/repair")).status_code == 409


async def test_a_check_of_all_queues_goes_on_and_says_what_holds() -> None:
    async with rediq.connect(MemoryStore()) as client:
        for queue in ("emails", "images"):
            await client.enqueue(Task("t", queue=queue))
        async with visiting(Right.ACT, source=client) as browser:
            answer = await browser.post("/check-now")
            assert answer.status_code == 303
            text = await checked(browser)
            assert "Every invariant that a check can see holds in all 2 queues." in text
            one = (await browser.get("/check/images")).text
            assert "by ada" in one
            assert "Nothing is broken." in one
            assert (await browser.post("/check-now", data={"queue": "none"})).status_code == 400
            assert (await browser.post("/check/images/repair")).status_code == 403


async def test_what_is_broken_is_shown_with_its_meaning_repaired_and_checked_again(
    redis_server: Server,
) -> None:
    prefix = "web-check"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        await client.queue("images").keep_history(100)
        await client.enqueue_many([Task("t", queue="images", id=f"t{n}") for n in range(3)])
        await raw(redis_server.url, prefix, "ZREM", "pending", "t0")
        async with visiting(source=client) as browser:
            await browser.post("/check-now", data={"queue": "images"})
            text = await checked(browser)
            assert "broken in" in text
            text = (await browser.get("/check/images")).text
            assert "a task is not in the one index that its state names" in text
            assert "no guess: the record says it" in text
            assert "Make 1 repair in images?" in (await browser.get("/check/images/repair")).text
            answer = await browser.post("/check/images/repair")
            assert answer.status_code == 303
            text = await checked(browser, "/check/images")
            assert "1 repair made before it" in text
            assert "Every invariant that a check can see holds." in text
            assert (await browser.post("/check/images/repair")).status_code == 409
            whats = [entry.what for entry in await client.audit()]
            assert "Queue.repair" in whats
            assert "Each recorded step follows the specification." in (
                await browser.get("/check/images/replay")
            ).text


async def test_a_check_can_be_stopped() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue_many([Task("t", queue="images") for _ in range(300)])
        async with visiting(source=client) as browser:
            assert (await browser.post("/check/images/stop")).status_code == 303
            await browser.post("/check-now")
            await browser.post("/check/images/stop")
            text = await checked(browser, "/check/images")
            assert "it was stopped" in text or "every invariant" in text.lower()


async def test_a_replay_shows_the_first_step_that_the_specification_would_not_have_made(
    redis_server: Server,
) -> None:
    url, prefix, app = redis_server.url, "web-replay", rediq.App()

    @app.task("t", queue="images")
    async def t() -> None: ...

    async with rediq.connect(url, key_prefix=prefix) as client:
        await client.queue("images").keep_history(100)
        await client.enqueue(Task("t", queue="images", id="t0", retention=3600))
        (task,) = await client.queue("images").tasks("pending")
        name = task.id.partition("/")[2]
        record = await raw(url, prefix, "HGET", "records", name)
        score = await raw(url, prefix, "ZSCORE", "pending", name)
        for again in range(2):
            async with rediq.serve(app, url, key_prefix=prefix, queues=["images"]):
                await client.task(task.id).wait(timeout=60)
            if not again:  # somebody puts the task back by hand
                await raw(url, prefix, "ZREM", "completed", name)
                await raw(url, prefix, "HSET", "records", name, record)
                await raw(url, prefix, "ZADD", "pending", score, name)
        async with visiting(Right.LOOK, source=client) as browser:
            text = (await browser.get("/check/images/replay")).text
            assert "The history leaves the specification at step 5." in text
            assert text.count('class="dead lit"') == 1
            assert "not compared" in text
            assert "4 steps the same" in text


async def test_without_a_history_the_replay_says_how_to_keep_one() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue(Task("t", queue="images"))
        async with visiting(Right.LOOK, source=client) as browser:
            text = (await browser.get("/check/images/replay")).text
            assert "keeps no history" in text
