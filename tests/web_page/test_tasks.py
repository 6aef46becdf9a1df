"""Lists of tasks, what is done to many of them, failures by kind and the dead of all queues."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Client, Task
from rediq_trio.values.hiding import Hiding
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.pages import tasks
from rediq_trio.web.pages.failures import differing
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right
from rediq_trio.web.task_parts import bulk
from tests.servers import Server, require_any_server
from tests.web_page.test_task import ESCAPED, HOSTILE, failing_app, followed, opened, run, token_of
from tests.web_page.visiting import asking, visiting


async def dead(client: Client, number: int, text: str = "no") -> None:
    """Have some tasks die."""
    handles = await client.enqueue_many(
        Task("fail", {"text": text, "n": n}, queue="q", max_retry=0) for n in range(number)
    )
    app = rediq.App()

    @app.task("fail", queue="q", max_retry=0)
    async def fail(text: str, n: int) -> None:
        raise ValueError(f"broken {n}: {text}")

    async with rediq.serve(app, client._store, queues=["q"]):
        for handle in handles:
            await handle.wait(timeout=20)


async def test_tasks_are_listed_with_payload_error_and_tabs() -> None:
    async with opened() as (client, browser):
        await dead(client, 2, HOSTILE)
        text = (await browser.get("/queues/q/dead")).text
        assert text.count('name="id"') == 2
        assert ESCAPED in text
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert "<b>ValueError</b>" in text
        assert 'href="/queues/q/pending"' in text
        assert "newest 2 of 2" in text


async def test_the_oldest_pending_task_is_one_link_from_its_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "ROWS", 2)
    async with opened() as (client, browser):
        first, *_ = await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(4))
        head = (await browser.get("/queues/q")).text.split(">oldest pending waits ")[0]
        url = head.rsplit('href="', 1)[1].split('"')[0]
        text = (await browser.get(url)).text
        assert text.split('name="id" value="')[1].split('"')[0] == first.id
        assert "oldest 2 of 4" in text
        assert ">newest first</a>" in text
        url = text.split('" rel="next">newer')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
        assert "2 tasks, newer" in (await browser.get(url)).text
        assert ">oldest first</a>" in (await browser.get("/queues/q/pending")).text


async def test_pages_follow_one_another_and_no_task_is_shown_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "ROWS", 7)
    async with opened() as (client, browser):
        handles = await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(20))
        url, seen = "/queues/q/pending", list[str]()
        for _ in range(4):
            text = (await browser.get(url)).text
            seen += [each.split('"')[0] for each in text.split('name="id" value="')[1:]]
            if 'rel="next">older' not in text:
                break
            url = text.split('" rel="next">older')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
        assert seen == [handle.id for handle in reversed(handles)]


async def test_a_filter_says_how_far_it_has_looked_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "LOOK_MOST", 100)
    async with opened() as (client, browser):
        await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(600))
        url, looked = "/queues/q/pending?filter=payload.n:5", list[str]()
        for _ in range(20):
            text = (await browser.get(url)).text
            looked.append(text.split("Looked at the newest ")[1].split("</span>")[0])
            if ">Look on<" not in text:
                break
            assert "No task" not in text
            url = text.split('" rel="next">Look on')[0].rsplit('href="', 1)[1].replace("&amp;", "&")
        assert len(looked) > 1
        assert looked[0].endswith("of 600, found 0.")
        assert looked[-1] == "600 of 600, found 1."


async def test_chips_take_themselves_away_and_a_mistake_has_a_caret() -> None:
    async with opened() as (client, browser):
        await client.enqueue(Task("t", {}, queue="q", metadata={"tenant": "acme"}))
        text = (await browser.get("/queues/q/pending?filter=type:t+meta.tenant:acme")).text
        assert 'href="/queues/q/pending?filter=meta.tenant%3Aacme"' in text
        assert 'href="/queues/q/pending?filter=type%3At"' in text
        wrong = (await browser.get("/queues/q/pending?filter=type:t+tpye:x")).text
        assert "did you mean type?" in wrong
        assert "\n         ^~~~~~</pre>" in wrong
        hostile = await browser.get(f"/queues/q/pending?filter={quote(HOSTILE)}")
        assert hostile.status_code == 200
        assert "<script>alert" not in hostile.text


async def test_lists_that_are_not_there_say_so() -> None:
    async with opened() as (client, browser):
        await client.enqueue(Task("t", {}, queue="q"))
        assert (await browser.get("/queues/nope/dead")).status_code == 404
        assert (await browser.get("/queues/q/sleepy")).status_code == 404
        assert "No task of q is dead." in (await browser.get("/queues/q/dead")).text
        gone = await browser.get("/queues/q/pending?after=q/x|pending|nonsense|")
        assert gone.status_code == 200
        assert "The place where this page began is gone" in gone.text


async def test_selected_rows_are_retried_and_a_form_sent_twice_is_harmless() -> None:
    async with opened() as (client, browser):
        await dead(client, 3)
        ids = [info.id for info in await client.queue("q").tasks("dead")]
        sheet = await browser.get("/queues/q/dead/retry", params={"id": ids[:2]})
        assert "Retry 2 dead tasks of q?" in sheet.text
        fields = token_of(sheet)
        first = await browser.post("/queues/q/dead/retry", data=fields)
        assert "2 tasks ready again." in await followed(browser, first)
        second = await browser.post("/queues/q/dead/retry", data=fields)
        assert second.headers["location"] == first.headers["location"]
        stats = await client.queue("q").stats()
        assert (stats.dead, stats.pending) == (1, 2)
        late = await browser.get("/queues/q/dead/retry", params={"id": ids})
        assert "it is pending now" in late.text
        assert "Retry 1 dead task of q?" in late.text


async def test_a_selected_row_that_somebody_else_has_retried_is_left_alone() -> None:
    async with opened() as (client, browser):
        await dead(client, 2)
        ids = [info.id for info in await client.queue("q").tasks("dead")]
        fields = token_of(await browser.get("/queues/q/dead/delete", params={"id": ids}))
        await client.task(ids[0]).retry()
        answer = await browser.post("/queues/q/dead/delete", data=fields)
        text = await followed(browser, answer)
        assert "1 task deleted; 1 task refused." in text
        assert 'href="/queues/q/dead"' in text
        assert (await client.task(ids[0]).info()).state == "pending"


async def test_what_died_after_the_question_is_not_touched() -> None:
    async with opened() as (client, browser):
        await dead(client, 2)
        fields = token_of(await browser.get("/queues/q/dead/delete?all=match"))
        await trio.sleep(0.01)
        await dead(client, 1)
        answer = await browser.post("/queues/q/dead/delete", data=fields)
        assert "2 tasks deleted." in await followed(browser, answer)
        assert (await client.queue("q").stats()).dead == 1


async def test_a_refusal_is_counted_with_its_reason_before_and_after() -> None:
    async with opened() as (client, browser):
        needed = await client.enqueue(Task("t", {}, queue="q"))
        await client.enqueue(Task("t", {}, queue="q", depends_on=needed))
        await needed.cancel()
        await needed.delete()
        dead_one = (await client.queue("q").tasks("dead"))[0]
        sheet = await browser.get("/queues/q/dead/retry?all=match")
        assert "a task that it needs did not complete" in sheet.text or "it is gone" in sheet.text
        assert "Retry 0 dead tasks" in sheet.text
        assert dead_one.state == "dead"


async def test_the_name_is_typed_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "TYPED_ABOVE", 1)
    async with opened() as (client, browser):
        await client.enqueue_many(Task("t", {}, queue="q") for _ in range(3))
        sheet = await browser.get("/queues/q/pending/delete?all=match")
        assert "Type <b>q</b> to go on" in sheet.text
        assert "Save them to a file" in sheet.text
        fields = token_of(sheet)
        wrong = await browser.post("/queues/q/pending/delete", data={**fields, "name": "Q"})
        assert wrong.status_code == 400
        assert (await client.queue("q").stats()).pending == 3
        right = await browser.post("/queues/q/pending/delete", data={**fields, "name": "q"})
        assert "3 tasks deleted." in await followed(browser, right)
        assert (await client.queue("q").stats()).pending == 0


async def test_tasks_are_exported_as_a_file_that_can_be_imported() -> None:
    async with opened() as (client, browser):
        await client.enqueue_many(Task("t", {"n": n}, queue="q") for n in range(3))
        answer = await browser.get("/queues/q/pending/export?filter=payload.n:1")
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines[0]["rediq_tasks"] == 1
        assert lines[-1] == {"end": 1}
        assert "attachment" in answer.headers["content-disposition"]


async def test_work_goes_on_without_its_page_and_is_stopped_within_a_second() -> None:
    async with opened() as (client, browser):
        await dead(client, 40)
        fields = token_of(await browser.get("/dead/retry?all=match"))
        answer = await browser.post("/dead/retry", data={**fields, "rate": "10"})
        where = answer.headers["location"]
        assert where.startswith("/bulk/")
        assert "goes on when this page is closed" in (await browser.get(where)).text
        assert "Retry 40 dead tasks" in (await browser.get("/dead")).text
        with trio.fail_after(1):
            stopped = await browser.post(f"{where}/stop")
        text = await followed(browser, stopped)
        assert "ada stopped it" in text
        stats = await client.queue("q").stats()
        assert 0 < stats.pending < 40
        assert stats.dead == 40 - stats.pending
        assert [entry.who for entry in await client.audit()][:1] == ["ada"]
        assert (await browser.get("/bulk/nothing")).status_code == 404
        assert "Retry 40 dead tasks" in (await browser.get("/bulk")).text


async def test_a_question_of_another_process_changes_nothing() -> None:
    async with opened() as (client, browser):
        await dead(client, 1)
        answer = await browser.post("/queues/q/dead/retry", data={"token": "unknown"})
        assert answer.status_code == 409
        assert "Nothing was changed" in answer.text
        assert (await client.queue("q").stats()).dead == 1


async def test_nothing_selected_is_a_sentence() -> None:
    async with opened() as (client, browser):
        await dead(client, 1)
        assert "no task was selected" in (await browser.get("/queues/q/dead/retry")).text.lower()
        assert "no task was selected" in (await browser.get("/dead/retry")).text.lower()


async def test_kinds_are_listed_and_one_is_shown_and_retried() -> None:
    async with opened() as (client, browser):
        await dead(client, 5, HOSTILE)
        (kind,) = await client.queue("q").failures()
        listed = (await browser.get("/failures")).text
        assert f'href="/failures/{kind.kind}?queue=q"' in listed
        assert "1 kind is new within the hour." in listed
        assert "<script>alert" not in listed
        assert "None of 1 kind" in (await browser.get("/failures?q=nothing")).text
        shown = (await browser.get(f"/failures/{kind.kind}?queue=q")).text
        assert "Seen 5 times" in shown
        assert "at most 5 in an hour, 5 in this one" in shown
        assert "nothing is known" not in shown
        assert "What the messages differ in" in shown
        assert "test_tasks.py:" in shown
        assert "<script>alert" not in shown
        sheet = await browser.get(f"/failures/{kind.kind}/retry?queue=q")
        assert "Retry 5 dead tasks of q that failed as ValueError?" in sheet.text
        answer = await browser.post(f"/failures/{kind.kind}/retry", data=token_of(sheet))
        assert "5 tasks ready again." in await followed(browser, answer)
        assert (await browser.get("/failures/abc")).status_code == 404


async def test_nothing_failed_and_nothing_dead_are_sentences() -> None:
    async with opened(Right.LOOK) as (_, browser):
        assert "Nothing has failed" in (await browser.get("/failures")).text
        assert "No task is dead" in (await browser.get("/dead")).text


async def test_the_dead_of_all_queues_are_one_list() -> None:
    async with opened() as (client, browser):
        await run(client, Task("fail", {"text": "a"}, queue="q"))
        app = failing_app()
        other = await client.enqueue(Task("fail", {"text": "b"}, queue="r", max_retry=0))
        async with rediq.serve(app, client._store, queues=["r"]):
            await other.wait(timeout=20)
        text = (await browser.get("/dead")).text
        assert text.count('name="id"') == 2
        assert "2 tasks in 2 queues" in text
        assert (await browser.get("/dead?queue=r")).text.count('name="id"') == 1
        assert "found 1" in (await browser.get("/dead?filter=payload.text:b")).text


async def test_a_visitor_who_only_looks_has_no_boxes_and_no_buttons() -> None:
    async with opened(Right.LOOK) as (client, browser):
        await dead(client, 1)
        for url in ("/queues/q/dead", "/dead"):
            text = (await browser.get(url)).text
            assert 'type="checkbox"' not in text
            assert "formaction" not in text


async def test_lists_work_on_redis(start_server: Callable[[str], Server]) -> None:
    url = start_server(require_any_server()).url
    async with (
        rediq.connect(url, key_prefix="webtasks") as client,
        visiting(Right.CHANGE, client) as browser,
    ):
        await dead(client, 12)
        assert "newest 12 of 12" in (await browser.get("/queues/q/dead")).text
        fields = token_of(await browser.get("/dead/retry?all=match"))
        answer = await browser.post("/dead/retry", data={**fields, "rate": ""})
        assert "12 tasks ready again." in await followed(browser, answer)


def test_messages_differ_in_the_place_that_tells_most() -> None:
    messages = [f"host smtp-{n % 2} gave {n}" for n in range(6)]
    assert differing(messages) == [("host smtp-0", 3), ("host smtp-1", 3)]
    assert differing(["same", "same"]) == []
    assert differing([]) == []


@pytest.mark.parametrize("page", ["/queues/q/pending", "/dead", "/queues/q/pending/cancel?all=match"])
async def test_a_filter_that_would_tell_what_is_hidden_is_refused(page: str) -> None:
    async with rediq.connect("memory://") as client:
        await client.enqueue(Task("t", {"card": "4412", "to": "ada"}, queue="q"))
        access = Access(open_to=Right.CHANGE, name="ada")
        site = Site(client, access=access, hide=Hiding.of("payload.card"))
        mark = "&" if "?" in page else "?"
        async with site.open(), asking(site) as browser:
            refused = (await browser.get(f"{page}{mark}filter=payload.card:4412")).text
            assert "payload.card is hidden, and cannot be searched" in refused
            found = (await browser.get(f"{page}{mark}filter=payload.to:ada")).text
            assert "cannot be searched" not in found
