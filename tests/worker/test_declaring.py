"""The schedules of a fleet of several versions and several programs: who declares, and who removes."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Cron, Every, MemoryStore, ScheduleNotFound
from rediq_trio.spec.messages import WorkerRecord
from rediq_trio.tasks.task_info import pack_worker_info
from rediq_trio.worker.keeping import declarer as declaring
from tests.actors.parts import Watched
from tests.servers import Server
from tests.worker.test_rolling import a_record, mock_store

Q = "ticked"
LOOK = declaring.DECLARE_INTERVAL + 1
GRACE = declaring.REMOVAL_GRACE + 2 * LOOK
HOURLY = Every(3600)


def an_app(*names: str, name: str | None = "shop", when: Every | Cron = HOURLY) -> rediq.App:
    app = rediq.App(name)

    @app.task("note", queue=Q)
    async def note(x: int = 0) -> int:
        return x

    for each in names:
        app.schedule(each, when, task())
    return app


def task(**options: Any) -> rediq.Task[Any]:
    return rediq.Task("note", {"x": 1}, **{"queue": Q} | options)


def serve(app: rediq.App, store: Any, **options: Any) -> Any:
    return rediq.serve(app, store, **{"queues": [Q]} | options)


async def names(client: rediq.Client) -> list[str]:
    return [info.name for info in await client.schedules().list()]


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if words in r.getMessage()]


# --- two versions of one app


@pytest.mark.mock_clock
async def test_a_start_of_an_old_version_removes_nothing_of_a_live_new_one() -> None:
    store = mock_store()
    async with serve(an_app("old", "new"), store) as new:
        async with serve(an_app("old"), store, burst=True) as old:
            await old.wait_stopped()
            assert await names(new.client) == ["new", "old"]
        async with serve(an_app("old"), store):
            await trio.sleep(3 * GRACE)
            assert await names(new.client) == ["new", "old"]


@pytest.mark.mock_clock
async def test_the_new_version_s_schedule_ticks_on_beside_an_old_worker() -> None:
    store = mock_store()
    new = an_app("old")
    new.schedule("quick", Every(10), task())
    async with serve(new, store) as server:
        async with serve(an_app("old"), store):
            await trio.sleep(1)
        before = (await server.client.queue(Q).stats()).enqueued
        await trio.sleep(40)
        assert (await server.client.queue(Q).stats()).enqueued - before >= 3


@pytest.mark.mock_clock
async def test_what_no_live_worker_declares_is_removed_after_the_grace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "rediq_trio")
    store = mock_store()
    app = an_app("goes", "both")
    app.schedule("kept", HOURLY, task(), keep=True)
    async with serve(app, store) as server:
        await server.client.schedules().add("added", HOURLY, task())
    async with serve(an_app("both"), store) as server:
        await trio.sleep(declaring.REMOVAL_GRACE - LOOK)
        assert await names(server.client) == ["added", "both", "goes", "kept"]
        await trio.sleep(3 * LOOK)
        assert await names(server.client) == ["added", "both", "kept"]
    assert [level for level, _ in told(caplog, "schedule goes of queue ticked is removed")] == [
        "INFO"
    ]


@pytest.mark.mock_clock
async def test_the_grace_begins_anew_when_the_schedule_was_declared_meanwhile() -> None:
    store = mock_store()
    async with serve(an_app("new"), store):
        pass
    async with serve(an_app(), store) as server:
        await trio.sleep(declaring.REMOVAL_GRACE - 2 * LOOK)
        async with serve(an_app("new"), store):
            await trio.sleep(2 * LOOK)
        await trio.sleep(declaring.REMOVAL_GRACE - LOOK)
        assert await names(server.client) == ["new"]
        await trio.sleep(3 * LOOK)
        assert await names(server.client) == []


@pytest.mark.mock_clock
async def test_nothing_is_removed_while_a_worker_does_not_say_what_it_declares() -> None:
    """It is of a version whose records do not say."""
    store = mock_store()
    async with serve(an_app("new"), store):
        pass
    silent = pack_worker_info(a_record(types=None, schedules=None))
    await store.register(WorkerRecord("silent", silent, 2 * round(GRACE * 1000)))
    async with serve(an_app(), store) as server:
        await trio.sleep(GRACE)
        assert await names(server.client) == ["new"]
        await trio.sleep(2 * GRACE)
        assert await names(server.client) == []


@pytest.mark.mock_clock
async def test_a_schedule_that_is_gone_is_declared_again_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = mock_store()
    async with serve(an_app("s"), store) as server:
        # What a version does that removes at its start.
        assert await store.retract_others(Q, owner="shop", names=[]) == ("s",)
        await trio.sleep(LOOK)
        assert await names(server.client) == ["s"]
    said = told(caplog, "schedule s of queue ticked")
    assert said == [("WARNING", "schedule s of queue ticked is gone: it is declared again")]


@pytest.mark.mock_clock
async def test_a_worker_starts_although_a_queue_of_a_schedule_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app, store = an_app("s"), Watched(mock_store())
    app.schedule("other", HOURLY, task(queue="away"))
    store.away_queues.add("away")
    async with serve(app, store) as server:
        await trio.sleep(LOOK)
        assert [each.name for each in (await store.agenda(Q)).schedules] == ["s"]
        store.away_queues.clear()
        await trio.sleep(LOOK)
        assert await names(server.client) == ["other", "s"]
    said = told(caplog, "schedules of queue away are not declared yet")
    assert said == [("WARNING", "the schedules of queue away are not declared yet: away")]


@pytest.mark.mock_clock
async def test_of_two_declarations_that_of_the_last_start_holds_and_they_do_not_fight(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = mock_store()
    async with serve(an_app("s"), store) as first:
        async with serve(an_app("s", when=Every(60)), store):
            await trio.sleep(10 * LOOK)
            [info] = await first.client.schedules().list()
            assert info.when == Every(60)
            assert (await store.dump(Q)).revision == 2, "declared once by each"
            assert len(told(caplog, "a live worker that started later declares it")) == 1
        assert told(caplog, "was changed") == []
        await trio.sleep(3 * LOOK)
        [info] = await first.client.schedules().list()
        assert info.when == HOURLY
    assert told(caplog, "was changed") == [
        ("WARNING", "schedule s of queue ticked was changed (its times): it is declared again")
    ]


async def _is_at_rest(where: Any, caplog: pytest.LogCaptureFixture, **options: Any) -> None:
    app = an_app("plain")
    app.schedule(
        "rich", Cron("0 2 * * *", "Europe/Paris", overlap="skip"),
        task(unique=rediq.Unique("k", until="started"), limit_key="l", metadata={"a": "ü"}, expires=60.0,
             deadline=30.0, priority=3, backoff=rediq.Fixed(2.0)),
    )  # fmt: skip
    app.schedule("grouped", HOURLY, task(group="g"), keep=True)
    async with serve(app, where, **options) as server:
        found = await server.client.schedules().list()
        for _ in range(2):
            await server._worker.declarer.look()
        assert await server.client.schedules().list() == found
        assert len(found) == 3
    assert told(caplog, "schedule") == []


async def test_what_is_as_it_was_declared_is_left_alone_in_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await _is_at_rest(MemoryStore(), caplog)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_what_is_as_it_was_declared_is_left_alone_on_redis(
    redis_server: Server, encrypted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"key_prefix": f"declaring-{uuid.uuid4().hex[:8]}"}
    if encrypted:
        options["encryption"] = rediq.Encryption(keys=[rediq.Encryption.generate_key()])
    await _is_at_rest(redis_server.url, caplog, **options)


async def test_a_fleet_of_two_versions_keeps_its_schedules_on_redis(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declaring, "REMOVAL_GRACE", 0.0)
    options = {"key_prefix": f"declaring-{uuid.uuid4().hex[:8]}"}
    async with serve(an_app("old", "new"), redis_server.url, **options) as new:
        with trio.fail_after(30):
            while not await new.client.workers():
                await trio.sleep(0.02)
        async with serve(an_app("old"), redis_server.url, **options) as old:
            await old._worker.declarer.look()
            assert await names(new.client) == ["new", "old"]
            await new.stop()
            await old._worker.declarer.look()
            assert await names(old.client) == ["old"]


# --- what an operator did


@pytest.mark.mock_clock
async def test_a_removed_schedule_stays_removed_until_it_is_resumed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = mock_store()
    async with serve(an_app("s", when=Every(10)), store) as server:
        schedules = server.client.schedules()
        await schedules.remove("s")
        for use in (schedules.get, schedules.pause, schedules.trigger, schedules.remove):
            with pytest.raises(ScheduleNotFound):
                await use("s")
        async with serve(an_app("s", when=Every(10)), store):
            await trio.sleep(3 * LOOK)
            assert await schedules.list() == []
            assert (await server.client.queue(Q).stats()).enqueued == 0
            assert await server.client.queue(Q).check() == []
        assert told(caplog, "schedule s") == []
        await schedules.resume("s")
        await trio.sleep(LOOK)
        assert not (await schedules.get("s")).paused
        await trio.sleep(30)
        assert (await server.client.queue(Q).stats()).enqueued >= 2


@pytest.mark.mock_clock
async def test_what_is_left_of_a_removed_schedule_goes_with_its_declaration() -> None:
    store = mock_store()
    async with serve(an_app("s"), store) as server:
        await server.client.schedules().remove("s")
    assert len((await store.dump(Q)).schedules) == 1
    async with serve(an_app(), store):
        await trio.sleep(GRACE)
    assert (await store.dump(Q)).schedules == {}


@pytest.mark.mock_clock
async def test_a_paused_schedule_stays_paused(caplog: pytest.LogCaptureFixture) -> None:
    store = mock_store()
    async with serve(an_app("s"), store) as server:
        await server.client.schedules().pause("s")
        async with serve(an_app("s"), store):
            await trio.sleep(2 * LOOK)
            assert (await server.client.schedules().get("s")).paused
    assert told(caplog, "schedule s") == []


@pytest.mark.mock_clock
@pytest.mark.parametrize("queue", [Q, "another"])
async def test_a_live_worker_leaves_alone_what_was_added_in_the_place_of_its_own(
    queue: str,
) -> None:
    store = mock_store()
    async with serve(an_app("s"), store) as server:
        schedules = server.client.schedules()
        await schedules.add("s", Every(60), task(queue=queue))
        await trio.sleep(2 * LOOK)
        [info] = await schedules.list()
        assert (info.queue, info.when, info.owner) == (queue, Every(60), None)
        await schedules.pause("s")
        await schedules.resume("s")
        assert not (await schedules.get("s")).paused


async def test_one_that_is_added_after_a_removal_is_not_paused() -> None:
    async with serve(an_app("s"), MemoryStore()) as server:
        schedules = server.client.schedules()
        await schedules.remove("s")
        info = await schedules.add("s", Every(60), task())
        assert (info.paused, info.owner) == (False, None)
        assert info.next_run is not None


# --- two programs


def program(module: str) -> rediq.App:
    """Make an app without a name as a module would."""
    made: dict[str, Any] = {"__name__": module}
    exec("import rediq_trio as rediq\napp = rediq.App()", made)
    app: rediq.App = made["app"]
    app.schedule(f"of-{app.name}"[:100], HOURLY, task())
    return app


@pytest.mark.mock_clock
async def test_two_programs_with_unnamed_apps_leave_each_other_s_schedules_alone() -> None:
    store = mock_store()
    async with serve(program("billing"), store):
        await trio.sleep(LOOK)
    async with serve(program("shop"), store) as server:
        await trio.sleep(2 * GRACE)
        found = {info.name: info.owner for info in await server.client.schedules().list()}
    assert found == {"of-billing": "billing", "of-shop": "shop"}


def test_an_unnamed_app_is_named_after_its_module() -> None:
    assert rediq.App().name == __name__
    assert program("pack.age").name == "pack.age"
    assert program("é" * 20 + "x").name == "-" * 20 + "x"
    assert program("long." * 40 + "end").name.endswith("long.end")


def test_an_unnamed_app_of_a_script_is_named_after_its_file(tmp_path: Path) -> None:
    source = "import rediq_trio\nprint(rediq_trio.App().name)\n"
    (tmp_path / "shop.py").write_text(source)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__main__.py").write_text(source)
    for flags, name in ((["shop.py"], "shop"), (["-m", "pack"], "pack"), (["-c", source], "app")):
        done = subprocess.run(
            [sys.executable, *flags], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == name


def test_the_name_of_an_app_is_checked() -> None:
    with pytest.raises(rediq.ConfigError, match="name"):
        rediq.App("")
