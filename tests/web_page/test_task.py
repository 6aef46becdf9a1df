"""The page of a task: each state, each odd state, each act, and texts that nobody trusts."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from html import unescape
from typing import Any

import httpx
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Client, Encryption, MemoryStore, Task
from rediq_trio.web.site.page import Right
from tests.servers import Server
from tests.web_page.visiting import visiting
from tests.worker.test_newer import Redis

HOSTILE = "<script>alert(1)</script> \x1b[31m \u202e {{7*7}} </textarea> '\"><img src=x>"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"


def failing_app() -> rediq.App:
    """Return an app whose handlers fail, snooze, run and report."""
    app = rediq.App()

    @app.task("fail", queue="q", max_retry=1, backoff=rediq.Fixed(0.01))
    async def fail(text: str = "no") -> None:
        raise ValueError(f"broken: {text}")

    @app.task("later", queue="q")
    async def later() -> None:
        raise rediq.Snooze(3600)

    @app.task("good", queue="q", retention=3600)
    async def good(text: str = "") -> dict[str, Any]:
        return {"big": 9007199254740993, "bytes": b"\x00\xff", "text": text}

    @app.task("long", queue="q")
    async def long() -> None:
        rediq.current_task().progress(41, HOSTILE)
        await trio.sleep_forever()

    return app


@asynccontextmanager
async def opened(right: Right = Right.CHANGE) -> AsyncGenerator[tuple[Client, httpx.AsyncClient]]:
    """Open a client and a browser on one store."""
    async with rediq.connect(MemoryStore()) as client, visiting(right, client) as browser:
        yield client, browser


async def run(client: Client, *tasks: Task[Any]) -> list[rediq.TaskHandle[Any]]:
    """Enqueue tasks, and run them until they have ended."""
    handles = [await client.enqueue(task) for task in tasks]
    async with rediq.serve(failing_app(), client._store, queues=["q"]):
        for handle in handles:
            await handle.wait(timeout=20)
    return handles


def token_of(page: httpx.Response) -> dict[str, str]:
    """Return the hidden fields of the sheet of a page."""
    sheet = page.text.split('class="sheet', 1)[1]
    return {
        name: unescape(value)
        for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', sheet)
    }


async def followed(browser: httpx.AsyncClient, answer: httpx.Response) -> str:
    """Return the page that an act leads to."""
    assert answer.status_code == 303, answer.text
    return (await browser.get(answer.headers["location"])).text


async def test_a_dead_task_shows_why_its_way_its_attempts_and_its_traceback() -> None:
    async with opened() as (client, browser):
        (handle,) = await run(client, Task("fail", {"text": HOSTILE}, queue="q"))
        text = (await browser.get(f"/tasks/{handle.id}")).text
        assert "after 2 of 2 attempts" in text
        assert "fail, the last" in text
        assert "claim ×2" in text
        assert text.count('class="run"') == 2
        assert "test_task.py:" in text
        assert "raise ValueError(f&#34;broken: {text}&#34;)" in text
        assert ESCAPED in text
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        first = (await browser.get(f"/tasks/{handle.id}?attempt=1")).text
        assert "<h2>Attempt 1 failed</h2>" in first


async def test_a_completed_task_shows_its_result_exactly() -> None:
    async with opened() as (client, browser):
        (handle,) = await run(client, Task("good", {"text": HOSTILE}, queue="q"))
        text = (await browser.get(f"/tasks/{handle.id}")).text
        assert "9007199254740993" in text
        assert "00 ff" in text
        assert ESCAPED in text
        saved = await browser.get(f"/tasks/{handle.id}/download/result")
        assert saved.json()["big"] == 9007199254740993
        assert saved.json()["bytes"] == {"$bytes": "AP8="}
        assert (await browser.get(f"/tasks/{handle.id}/download/other")).status_code == 404


async def test_of_a_large_value_a_part_is_shown_and_the_rest_on_demand() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"rows": ["x" * 90] * 5000}, queue="q"))
        page = await browser.get(f"/tasks/{handle.id}")
        assert "more</li>" in page.text
        assert len(page.text) < 500_000
        assert "show all of it" in page.text
        whole = await browser.get(f"/tasks/{handle.id}?all=1")
        assert "show all of it" not in whole.text
        assert (
            len((await browser.get(f"/tasks/{handle.id}/download/payload")).json()["rows"]) == 5000
        )


async def test_a_task_that_waits_shows_what_holds_it() -> None:
    async with opened() as (client, browser):
        needed = await client.enqueue(Task("t", {}, queue="q"))
        handle = await client.enqueue(Task("t", {}, queue="q", depends_on=needed))
        text = (await browser.get(f"/tasks/{handle.id}")).text
        assert "What holds it" in text
        assert f'href="/tasks/{needed.id}"' in text
        other = (await browser.get(f"/tasks/{needed.id}")).text
        assert f'href="/tasks/{handle.id}"' in other
        assert "No live worker" in other


async def test_a_snoozed_task_is_a_page() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("later", {}, queue="q"))
        async with rediq.serve(failing_app(), client._store, queues=["q"]):
            with trio.fail_after(20):
                while not (await handle.info()).snoozes:
                    await trio.sleep(0.01)
        text = (await browser.get(f"/tasks/{handle.id}")).text
        assert ">snooze<" in text
        assert "snoozed</dt>" in text


async def test_a_running_task_shows_progress_and_where_it_is() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("long", {}, queue="q"))
        async with rediq.serve(failing_app(), client._store, queues=["q"], shutdown_grace=0):
            with trio.fail_after(20):
                while (await handle.info()).progress is None:
                    await trio.sleep(0.01)
            text = (await browser.get(f"/tasks/{handle.id}")).text
            assert 'value="41.0"' in text
            assert ESCAPED in text
            assert "Ask its worker" in text
            asked = (await browser.get(f"/tasks/{handle.id}?stack=1")).text
            assert "Ask again" in asked
            answer = await browser.post(f"/tasks/{handle.id}/cancel")
            assert "Asked the worker" in await followed(browser, answer)


async def test_a_revived_task_begins_a_new_life() -> None:
    async with opened() as (client, browser):
        (handle,) = await run(client, Task("fail", {}, queue="q"))
        text = await followed(browser, await browser.post(f"/tasks/{handle.id}/retry"))
        assert f"Retried q/…{handle.id[-8:]}: it is pending." in text
        assert "0 of 2" in text
        again = await followed(browser, await browser.post(f"/tasks/{handle.id}/retry"))
        assert "Not retried" in again
        assert "is pending now" in again


async def test_a_task_that_is_gone_is_a_page_that_says_how() -> None:
    async with opened() as (client, browser):
        await client.queue("q").keep_history(1000)
        handle = await client.enqueue(Task("t", {}, queue="q"))
        await handle.delete()
        gone = await browser.get(f"/tasks/{handle.id}")
        assert gone.status_code == 404
        assert "It was deleted at" in gone.text
        assert "enqueue" in gone.text
        never = await browser.get("/tasks/q/never")
        assert never.status_code == 404
        assert "never existed" in never.text
        assert "There is no queue nowhere" in (await browser.get("/tasks/nowhere/x")).text
        bad = await browser.get("/tasks/<script>")
        assert bad.status_code == 404
        assert "<script>" not in bad.text.split("<main")[1]


async def test_a_task_that_is_encrypted_with_another_key_is_a_page() -> None:
    store = MemoryStore()
    async with rediq.connect(store, encryption=Encryption([Encryption.generate_key()])) as secret:
        handle = await secret.enqueue(Task("t", {"secret": 1}, queue="q", metadata={"a": "b"}))
    async with rediq.connect(store) as client, visiting(Right.CHANGE, client) as browser:
        page = await browser.get(f"/tasks/{handle.id}")
        assert page.status_code == 200
        assert "It cannot be shown" in page.text
        assert "/edit" not in page.text
        assert (await browser.get(f"/tasks/{handle.id}/edit")).status_code == 400
        assert (await browser.get(f"/tasks/{handle.id}/download/payload")).status_code == 404
        assert (await browser.get("/queues/q/pending")).status_code == 200


async def test_a_task_of_a_newer_version_is_a_page(redis_server: Server) -> None:
    prefix = f"newerpage-{uuid.uuid4().hex[:8]}"
    async with (
        rediq.connect(redis_server.url, key_prefix=prefix) as client,
        visiting(Right.CHANGE, client) as browser,
    ):
        redis = Redis(client)
        await redis.enqueue("q", ["record", "envelope", "own"])
        await redis.age_record("q", "record")
        await redis.age_envelope("q", "envelope")
        for own in ("record", "envelope"):
            page = await browser.get(f"/tasks/q/{own}")
            assert page.status_code < 500
            assert "newer" in page.text
        listed = await browser.get("/queues/q/pending")
        assert listed.status_code == 200
        assert "q/own" in listed.text


async def test_the_raw_record_is_json_with_numbers_and_harmless_text() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q", metadata={"a": "\x1b[1m\u202e"}))
        text = (await browser.get(f"/tasks/{handle.id}")).text
        shown = text.split("Raw record")[1].split("<pre")[1].split(">", 1)[1]
        record = json.loads(unescape(shown.split("</pre>")[0]))
        assert (record["priority"], record["depends_on"], record["error"]) == (50, [], None)
        assert record["metadata"] == {"a": r"\x1b[1m\u202e"}


async def test_cancel_asks_and_can_be_taken_back() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q"))
        asked = await browser.get(f"/tasks/{handle.id}/cancel")
        assert "It will not run" in asked.text
        text = await followed(browser, await browser.post(f"/tasks/{handle.id}/cancel"))
        assert "Cancelled q/…" in text
        assert ">Revive<" in text
        assert (await handle.info()).state == "cancelled"
        twice = await followed(browser, await browser.post(f"/tasks/{handle.id}/cancel"))
        assert "Not cancelled: q/…" in twice


async def test_delete_goes_back_to_the_list_and_a_second_one_says_that_it_is_gone() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q"))
        assert "cannot be undone" in (await browser.get(f"/tasks/{handle.id}/delete")).text
        answer = await browser.post(f"/tasks/{handle.id}/delete")
        assert answer.headers["location"].startswith("/queues/q/pending")
        assert "Deleted q/…" in await followed(browser, answer)
        twice = await browser.post(f"/tasks/{handle.id}/delete")
        assert "is gone" in await followed(browser, twice)


async def test_a_task_is_made_due_now_or_at_another_time() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q", delay=3600))
        sheet = await browser.get(f"/tasks/{handle.id}/reschedule")
        assert "In how long" in sheet.text
        bad = await browser.post(f"/tasks/{handle.id}/reschedule", data={"delay": "soon"})
        assert bad.status_code == 400
        assert "like 90, 250ms" in bad.text
        both = await browser.post(f"/tasks/{handle.id}/reschedule", data={"delay": "1m", "at": "x"})
        assert "fill in one of the two" in both.text
        good = await browser.post(f"/tasks/{handle.id}/reschedule", data={"delay": "2h"})
        assert "is due in 2 h" in await followed(browser, good)
        text = await followed(browser, await browser.post(f"/tasks/{handle.id}/run-now"))
        assert "is ready now" in text
        await handle.cancel()
        refused = await browser.post(f"/tasks/{handle.id}/run-now")
        assert "Not done" in await followed(browser, refused)


async def test_a_task_is_moved_to_another_queue() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"n": 1}, queue="q"))
        bad = await browser.post(f"/tasks/{handle.id}/move", data={"queue": "not good!"})
        assert bad.status_code == 400
        answer = await browser.post(f"/tasks/{handle.id}/move", data={"queue": "other"})
        assert "Moved q/…" in await followed(browser, answer)
        assert (await client.queue("other").stats()).pending == 1


async def test_a_form_that_is_sent_twice_enqueues_one_task() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"n": 1}, queue="q"))
        await handle.cancel()
        fields = token_of(await browser.get(f"/tasks/{handle.id}/again"))
        first = await browser.post(f"/tasks/{handle.id}/again", data=fields)
        second = await browser.post(f"/tasks/{handle.id}/again", data=fields)
        assert first.headers["location"] == second.headers["location"]
        assert (await client.queue("q").stats()).pending == 1


async def test_a_waiting_task_is_edited_in_place() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"text": HOSTILE}, queue="q"))
        sheet = await browser.get(f"/tasks/{handle.id}/edit")
        assert sheet.text.count("</textarea>") == 1
        fields = token_of(sheet)
        bad = await browser.post(f"/tasks/{handle.id}/edit", data={**fields, "text": "{"})
        assert bad.status_code == 400
        assert "no JSON at line 1" in bad.text
        new = {**fields, "text": '{"payload": {"n": 9007199254740993}, "priority": 7}'}
        text = await followed(browser, await browser.post(f"/tasks/{handle.id}/edit", data=new))
        assert "Changed payload, priority of q/…" in text
        info = await handle.info()
        assert (info.payload, info.priority) == ({"n": 9007199254740993}, 7)
        over = {
            **token_of(await browser.get(f"/tasks/{handle.id}/edit")),
            "text": '{"priority": 900}',
        }
        assert "0 to 100" in (await browser.post(f"/tasks/{handle.id}/edit", data=over)).text


async def test_the_second_of_two_who_edit_learns_what_the_first_has_changed() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"n": 1}, queue="q"))
        fields = token_of(await browser.get(f"/tasks/{handle.id}/edit"))
        await handle.update(priority=3)
        late = {**fields, "text": '{"payload": {"n": 2}}'}
        page = await browser.post(f"/tasks/{handle.id}/edit", data=late)
        assert page.status_code == 400
        assert "Somebody else changed the task meanwhile" in page.text
        assert "was changed since it was read: priority" in page.text
        assert "&#34;n&#34;: 2" in page.text
        assert (await handle.info()).payload == {"n": 1}
        again = {**token_of(page), "text": '{"payload": {"n": 2}}'}
        assert (await browser.post(f"/tasks/{handle.id}/edit", data=again)).status_code == 303
        assert (await handle.info()).payload == {"n": 2}


async def test_an_ended_task_is_enqueued_anew_with_the_change() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {"n": 1}, queue="q"))
        await handle.cancel()
        fields = token_of(await browser.get(f"/tasks/{handle.id}/edit"))
        same = await browser.post(f"/tasks/{handle.id}/edit", data={**fields, "text": "{}"})
        assert "Nothing was changed" in await followed(browser, same)
        changed = {**fields, "text": '{"payload": {"n": 2}}', "replace": "yes"}
        text = await followed(browser, await browser.post(f"/tasks/{handle.id}/edit", data=changed))
        assert "Replaced q/…" in text
        stats = await client.queue("q").stats()
        assert (stats.pending, stats.cancelled) == (1, 0)


@pytest.mark.parametrize("right", [Right.LOOK, Right.ACT, Right.CHANGE])
async def test_buttons_that_one_may_not_press_are_not_drawn(right: Right) -> None:
    async with opened(right) as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q"))
        text = (await browser.get(f"/tasks/{handle.id}")).text
        assert (f"/tasks/{handle.id}/cancel" in text) is (right >= Right.ACT)
        assert (f"/tasks/{handle.id}/delete" in text) is (right >= Right.CHANGE)


async def test_what_a_person_does_is_in_the_audit() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q"))
        await browser.post(f"/tasks/{handle.id}/cancel")
        entry = (await client.audit())[0]
        assert (entry.who, entry.tool, entry.what) == ("ada", "web", "TaskHandle.cancel")


async def test_a_task_of_a_group_is_a_page() -> None:
    async with opened() as (client, browser):
        handle = await client.enqueue(Task("t", {}, queue="q", group="<script>alert(1)</script>"))
        page = await browser.get(f"/tasks/{handle.id}")
        assert page.status_code == 200
        assert ESCAPED in page.text
        assert ">grouped</text>" in page.text
