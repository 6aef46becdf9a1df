from __future__ import annotations

import pytest

import rediq_trio as rediq
from rediq_trio import Cron, Every, MemoryStore, ScheduleNotFound, State
from rediq_trio.store.port import Store
from rediq_trio.web.site.page import Right
from tests.web_page.visiting import visiting

HOSTILE = "<script>alert(1)</script> \x1b[31m \u202e {{7*7}}"
FORM = {
    "name": "new", "how": "every", "every": "5m", "line": "", "timezone": "UTC", "catch_up": "once",
    "overlap": "skip", "type": "report", "queue": "reports", "priority": "10", "payload": '{"day": 1}',
}  # fmt: skip


async def filled(store: Store) -> None:
    """Add a schedule that ticks, one that is paused, and one whose last task is dead."""
    async with rediq.connect(store) as client:
        schedules = client.schedules()
        report = rediq.Task("report", {}, queue="reports", max_retry=0)
        await schedules.add("hourly", Every(3600), report)
        await schedules.add("nightly", Cron("0 2 * * *", "Europe/Paris"), report)
        await schedules.add("paused", Cron("*/10 9-17 * * 1-5"), report)
        await schedules.pause("paused")
        await schedules.add("broken", Every(60), rediq.Task("bad", {}, queue="reports", max_retry=0))
        handle = await schedules.trigger("broken")
        app = rediq.App()

        @app.task("bad", queue="reports", max_retry=0)
        async def bad() -> None:
            raise ValueError(HOSTILE)

        async with rediq.serve(app, store, queues=["reports"]):
            await handle.wait(timeout=30)


async def test_schedules_are_listed_with_those_first_that_need_someone() -> None:
    store = MemoryStore()
    await filled(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        text = (await browser.get("/schedules")).text
    order = [text.index(f"<b>{name}</b>") for name in ("broken", "hourly", "nightly", "paused")]
    assert order == sorted(order)
    assert "1 schedule needs someone" in text
    assert "every day at 02:00" in text
    assert "*/10 9-17 * * 1-5" in text
    assert "is paused, and does not tick" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\x1b[31m \\u202e {{7*7}}" in text
    assert "<script>alert" not in text


async def test_without_schedules_the_page_says_how_to_begin() -> None:
    async with visiting(Right.LOOK) as browser:
        text = (await browser.get("/schedules")).text
        assert "No queue has a schedule." in text
        assert "app.schedule(" in text
        assert "/add/schedule" not in text
        missing = await browser.get("/schedules/nightly")
        assert missing.status_code == 404
        assert "There is no schedule nightly." in missing.text


async def test_a_schedule_shows_its_next_five_ticks_and_what_became_of_the_last() -> None:
    store = MemoryStore()
    await filled(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        text = (await browser.get("/schedules/nightly")).text
        assert text.count(" 01:00:00 UTC</dt>") + text.count(" 00:00:00 UTC</dt>") == 5
        assert "It has not ticked yet." in text
        assert "No task of it is kept." in text
        text = (await browser.get("/schedules/broken")).text
        assert "needs someone" in text
        assert "run by hand" in text
        assert "&lt;script&gt;" in text
        nearly = await browser.get("/schedules/nightli")
        assert "did you mean" in nearly.text
        # What a visitor may not do has no button.
    async with rediq.connect(store) as client, visiting(Right.LOOK, source=client) as browser:
        text = (await browser.get("/schedules/nightly")).text
        assert "/run" not in text
        assert "/remove" not in text


async def test_running_now_pausing_and_resuming_are_done_and_can_be_undone() -> None:
    store = MemoryStore()
    await filled(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        answer = await browser.post("/schedules/hourly/run")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/schedules/hourly")
        info = await client.schedules().get("hourly")
        assert info.last_task_id is not None
        assert (await client.task(info.last_task_id).info()).state is State.PENDING
        assert "Pause hourly?" in (await browser.get("/schedules/hourly/pause")).text
        assert not (await client.schedules().get("hourly")).paused
        await browser.post("/schedules/hourly/pause")
        assert (await client.schedules().get("hourly")).paused
        shown = await browser.get("/schedules/hourly")
        assert "Paused hourly." in shown.text
        assert "Resume" in shown.text
        await browser.post("/schedules/hourly/resume")
        assert not (await client.schedules().get("hourly")).paused
        for path in ("run", "pause", "resume", "remove"):
            assert (await browser.post(f"/schedules/none/{path}")).status_code == 404, path


async def test_removing_asks_and_leaves_the_tasks() -> None:
    store = MemoryStore()
    await filled(store)
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        assert "tasks that it has enqueued stay" in (
            await browser.get("/schedules/broken/remove")
        ).text
        answer = await browser.post("/schedules/broken/remove")
        assert answer.headers["location"].startswith("/schedules")
        with pytest.raises(ScheduleNotFound):
            await client.schedules().get("broken")
        assert (await client.queue("reports").stats()).dead == 1


async def test_a_schedule_is_added_as_the_form_says() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client, visiting(source=client) as browser:
        assert 'name="timezone"' in (await browser.get("/add/schedule")).text
        answer = await browser.post("/add/schedule", data=FORM)
        assert answer.status_code == 303
        info = await client.schedules().get("new")
        assert info.when == Every(300, catch_up="once", overlap="skip")
        assert (info.queue, info.type, info.owner) == ("reports", "report", None)
        handle = await client.schedules().trigger("new")
        task = await handle.info()
        assert (task.payload, task.priority) == ({"day": 1}, 10)
        cron = FORM | {"name": "cron", "how": "cron", "line": "0 2 * * *", "timezone": "Europe/Paris"}
        assert (await browser.post("/add/schedule", data=cron)).status_code == 303
        assert (await client.schedules().get("cron")).when == Cron(
            "0 2 * * *", "Europe/Paris", catch_up="once", overlap="skip"
        )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "name"), ("every", "soon", "every: "), ("every", "400d", "seconds"),
        ("payload", "{", "payload: no JSON"), ("priority", "x", "priority"), ("type", "", "type"),
        ("queue", "a/b", "queue"), ("overlap", "maybe", "overlap"), ("catch_up", "", "catch_up"),
    ],
)  # fmt: skip
async def test_a_form_with_a_mistake_is_shown_again_with_what_it_was(
    field: str, value: str, said: str
) -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        answer = await browser.post("/add/schedule", data=FORM | {field: value})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert said in answer.text
        assert 'value="5m"' in answer.text or field == "every"
        assert await client.schedules().list() == []


async def test_a_schedule_is_replaced_only_if_the_form_says_so() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await browser.post("/add/schedule", data=FORM)
        again = FORM | {"every": "7m"}
        answer = await browser.post("/add/schedule", data=again)
        assert answer.status_code == 400
        assert "there is a schedule new already" in answer.text
        await browser.post("/add/schedule", data=again | {"replace": "on"})
        when = (await client.schedules().get("new")).when
        assert isinstance(when, Every)
        assert when.seconds == 420


async def test_an_edit_changes_when_it_ticks_and_nothing_else() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await browser.post("/add/schedule", data=FORM)
        await client.schedules().pause("new")
        text = (await browser.get("/schedules/new/edit")).text
        assert 'value="300s"' in text
        assert 'name="payload"' not in text
        bad = await browser.post("/schedules/new/edit", data={"how": "cron", "line": "x"})
        assert bad.status_code == 400
        assert "a cron line" in bad.text or "5 fields" in bad.text
        cron = {"how": "cron", "line": "0 2 * * *", "timezone": "Europe/Paris", "overlap": "allow"}
        assert (await browser.post("/schedules/new/edit", data=cron)).status_code == 303
        info = await client.schedules().get("new")
        assert info.when == Cron("0 2 * * *", "Europe/Paris", catch_up="once")
        assert info.paused
        task = await (await client.schedules().trigger("new")).info()
        assert (task.payload, task.priority, task.type) == ({"day": 1}, 10, "report")
        newest = (await client.audit())[0]
        assert (newest.what, newest.who) == ("Schedules.add", "ada")


async def test_what_an_app_declares_is_edited_in_the_app() -> None:
    app, store = rediq.App("shop"), MemoryStore()

    @app.task("report", queue="reports")
    async def report() -> None: ...

    app.schedule("declared", Every(3600), report.task())
    async with rediq.connect(store) as client:
        async with rediq.serve(app, store, queues=["reports"]):
            pass
        async with visiting(source=client) as browser:
            assert "/edit" not in (await browser.get("/schedules/declared")).text
            for answer in (
                await browser.get("/schedules/declared/edit"),
                await browser.post("/schedules/declared/edit", data={"every": "1s"}),
            ):
                assert answer.status_code == 409
                assert "Change it in the app." in answer.text
