from __future__ import annotations

import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, Task
from rediq_trio.web.fleet_parts.queue_acts import latency_of, rate_of, share_of, whole_number
from rediq_trio.web.site.page import Refused, Right
from tests.web_page.test_overview import fleet, page_with
from tests.web_page.visiting import visiting


async def test_the_queues_are_listed_filtered_and_sorted_by_links() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        assert "No queue was ever used here." in (await browser.get("/queues")).text
        for name in ("mail", "mail-eu", "images"):
            await client.enqueue(Task("x", queue=name))
        text = await page_with(browser, "/queues", "3 queues")
        assert "3 tasks wait in 3 queues" in text
        text = (await browser.get("/queues?q=MAIL")).text
        assert "2 queues of 3" in text
        assert 'id="queue-images"' not in text
        assert "none has this part" in (await browser.get("/queues?q=zzz")).text
        assert "2 queues of 3" in (await browser.get("/queues?q=mail&page=99&sort=name")).text


async def test_a_queue_without_a_worker_says_so_and_how_to_start_one() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        text = (await browser.get("/queues/emails")).text
    assert (
        "1 task waits, and no live worker serves it. "
        "Start one: <code>rediq run module:app --queues emails</code>"
        in text
    )
    assert "stands still" in text
    assert "workers sample the queues that they serve" in text
    assert "<figure" not in text


async def test_a_queue_that_is_not_there_is_a_page_with_what_it_might_be() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        answer = await browser.get("/queues/email")
    assert answer.status_code == 404
    assert "did you mean emails?" in answer.text


async def test_a_queue_shows_its_types_limits_holders_groups_and_workers() -> None:
    async with fleet() as (client, browser):
        queue = client.queue("emails")
        await queue.limit(concurrency=3)
        await queue.limit(key="smtp-2", concurrency=1)
        await client.enqueue(Task("mail:send", {"to": "a"}, queue="emails"))
        await client.enqueue(Task("mail:wait", queue="emails", limit_key="smtp-2"))
        for _ in range(3):
            await client.enqueue(Task("mail:wait", queue="emails", limit_key="smtp-2"))
        await client.enqueue(Task("x", queue="emails", group="digest:eu"))
        text = await page_with(
            browser, "/queues/emails", "1 of 1", "mail:send</a>", "digest:eu", "mail-1</a>", "1 of 3"
        )  # fmt: skip
        assert "as many as the limit key smtp-2 may" in text
        assert "key <code>smtp-2</code>" in text
        assert "Of the next 3" in text
        for state in State:
            assert f'href="/queues/emails/{state.value}"' in text


async def test_a_worker_without_the_type_is_named_as_the_reason() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("mail:gone", {"n": 1}, queue="emails"))
        text = await page_with(
            browser, "/queues/emails", "No worker of it has a handler for mail:gone"
        )
    assert "Deploy it." in text


async def test_what_a_visitor_may_not_do_is_not_drawn() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue(Task("x", queue="emails"))
        for right, wanted in ((Right.LOOK, 0), (Right.ACT, 1), (Right.CHANGE, 4)):
            async with visiting(right, source=client) as browser:
                text = (await browser.get("/queues/emails")).text
                found = [
                    each
                    for each in ("pause", "limit", "targets", "flush")
                    if f'"/queues/emails/{each}?back' in text
                ]
                assert len(found) == wanted


async def test_a_queue_is_paused_with_a_reason_and_resumed() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        asked = (await browser.get("/queues/emails/pause")).text
        assert "Pause emails?" in asked
        assert "1 pending task waits" in asked
        done = await browser.post("/queues/emails/pause", data={"reason": "moving <b>"})
        assert (done.status_code, done.headers["location"]) == (303, "/queues/emails")
        stats = await client.queue("emails").stats()
        assert (stats.paused, stats.paused_by, stats.paused_reason) == (True, "ada", "moving <b>")
        text = await page_with(browser, "/queues/emails", "Paused by ada")
        assert "moving &lt;b&gt;" in text
        assert "Nothing is claimed until it is resumed" in text
        assert "Resume emails?" in (await browser.get("/queues/emails/resume")).text
        await browser.post("/queues/emails/resume", data={})
        assert not (await client.queue("emails").stats()).paused
        assert [entry.what for entry in await client.audit()] == ["Queue.resume", "Queue.pause"]


async def test_a_flush_asks_for_the_queues_name_and_the_server_checks_it() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue_many([Task("x", queue="emails") for _ in range(3)])
        asked = (await browser.get("/queues/emails/flush")).text
        assert "Removes all 3 tasks of the queue" in asked
        assert "Flush 3 tasks" in asked
        for wrong in ("", "email", "Emails"):
            refused = await browser.post("/queues/emails/flush", data={"name": wrong})
            assert refused.status_code == 400
            assert "has to be typed" in refused.text
        assert (await client.queue("emails").stats()).pending == 3
        done = await browser.post("/queues/emails/flush", data={"name": "emails"})
        assert done.headers["location"] == "/queues/emails"
        assert (await client.queue("emails").stats()).pending == 0


async def test_limits_are_set_and_taken_away() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        queue = client.queue("emails")
        form = {
            "concurrency": "12",
            "rate": "100/1m",
            "max_pending": "5000",
            "fair_by": "limit_key",
            "key": "",
        }
        assert (await browser.post("/queues/emails/limit", data=form)).status_code == 303
        limits = await queue.limits()
        assert (limits.concurrency, limits.rate, limits.max_pending, limits.fair_by) == (
            12, rediq.Rate(100, per=60), 5000, "limit_key",
        )  # fmt: skip
        text = (await browser.get("/queues/emails/limit")).text
        assert 'value="12"' in text
        assert 'value="100/60s"' in text
        key = {"concurrency": "2", "rate": "", "key": "smtp-2"}
        await browser.post("/queues/emails/limit", data=key)
        assert (await queue.limits()).keys["smtp-2"].concurrency == 2
        assert 'value="smtp-2"' in (await browser.get("/queues/emails/limit?key=smtp-2")).text
        await browser.post("/queues/emails/limit", data=dict.fromkeys(form, ""))
        limits = await queue.limits()
        assert (limits.concurrency, limits.rate, limits.max_pending, limits.fair_by) == (None,) * 4
        for bad in (
            {"concurrency": "many"},
            {"concurrency": "0"},
            {"rate": "1/x"},
            {"rate": "0/1m"},
            {},
        ):
            assert (await browser.post("/queues/emails/limit", data=bad)).status_code == 400


async def test_targets_are_set_and_taken_away() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        queue = client.queue("emails")
        await browser.post("/queues/emails/targets", data={"latency": "30s", "failures": "1%"})
        targets = await queue.targets()
        assert (targets.latency, targets.failures) == (30.0, 0.01)
        text = (await browser.get("/queues/emails/targets")).text
        assert 'value="30s"' in text
        assert 'value="1%"' in text
        await browser.post("/queues/emails/targets", data={"latency": "", "failures": ""})
        targets = await queue.targets()
        assert (targets.latency, targets.failures) == (None, None)
        assert (
            await browser.post("/queues/emails/targets", data={"latency": "soon"})
        ).status_code == 400


@pytest.mark.parametrize("act", ["flush", "limit", "pause", "resume", "targets"])
async def test_nothing_can_be_asked_or_done_to_a_queue_that_is_not_there(act: str) -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        assert (await browser.get(f"/queues/gone/{act}")).status_code == 404
        assert (await browser.post(f"/queues/gone/{act}", data={"name": "gone"})).status_code == 404
        assert await client.queues() == ["emails"]


@pytest.mark.parametrize(
    ("text", "found"),
    [("", None), ("5/s", rediq.Rate(5)), ("100/1m", rediq.Rate(100, per=60)), ("7", rediq.Rate(7))],
)
def test_a_rate_is_read_as_people_write_it(text: str, found: rediq.Rate | None) -> None:
    assert rate_of(text) == found


@pytest.mark.parametrize("text", ["x", "1/", "-1/s", "1e3/s", "5/fortnight", "٣/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    if text == "1/":
        assert rate_of(text) == rediq.Rate(1)
    else:
        with pytest.raises(Refused, match="must be like 100/1m"):
            rate_of(text)


def test_numbers_shares_and_durations_are_read_or_refused() -> None:
    assert (whole_number("At once", " 1,200 "), whole_number("At once", "")) == (1200, None)
    assert (share_of("1%"), share_of("0.01"), share_of(""), latency_of("5m"), latency_of(" ")) == (
        0.01, 0.01, None, 300.0, None,
    )  # fmt: skip
    for text in ("0", "-1", "1.5", "9" * 13, "２"):
        with pytest.raises(Refused):
            whole_number("At once", text)
    for text in ("1%%", "nan", "inf", "1e-3", "-1"):
        with pytest.raises(Refused):
            share_of(text)
    with pytest.raises(Refused):
        latency_of("soon")
