"""Schedules as a user has them: declared in code, ticked by real workers, changed at run time."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, Cron, Every, ScheduleNotFound, State
from tests.servers import Server

Q = "ticked"


def an_app(seen: list[dict[str, str]] | None = None, name: str = "app") -> rediq.App:
    app = rediq.App(name)

    @app.task("note", queue=Q)
    async def note(x: int = 0) -> int:
        if seen is not None:
            seen.append(dict(rediq.current_task().metadata))
        return x

    return app


def note(**options: Any) -> rediq.Task[Any]:
    return rediq.Task("note", {"x": 1}, **{"queue": Q} | options)


def instants(seen: list[dict[str, str]]) -> list[dt.datetime]:
    return sorted(dt.datetime.fromisoformat(m["rediq.tick"]) for m in seen)


async def test_two_servers_that_race_make_one_task_per_tick(redis_server: Server) -> None:
    seen: list[dict[str, str]] = []
    apps = [an_app(seen), an_app(seen)]
    for app in apps:
        app.schedule("quick", Every(0.1, catch_up="all"), note())
    options: dict[str, Any] = {"queues": [Q], "key_prefix": "race"}
    async with (
        rediq.serve(apps[0], redis_server.url, name="one", **options),
        rediq.serve(apps[1], redis_server.url, name="two", **options) as server,
    ):
        await trio.sleep(4)
        await server.client.schedules().pause("quick")
        queue = server.client.queue(Q)
        tasks = [task for state in State for task in await queue.tasks(state, limit=1000)]
    made = {task.id: dict(task.metadata) for task in tasks}
    found = instants([*made.values()])
    assert len(found) >= 20
    apart = {later - sooner for sooner, later in pairwise(found)}
    assert apart == {dt.timedelta(seconds=0.1)}, "each tick once, and none left out"
    assert len(seen) == len({*instants(seen)}) > 0


# --- in code


async def names(client: rediq.Client) -> list[str]:
    return [info.name for info in await client.schedules().list()]


async def test_a_schedule_in_code_is_listed_with_its_times() -> None:
    store = rediq.MemoryStore()
    app = an_app()
    app.schedule("nightly", Cron("0 2 * * *", "Europe/Paris"), note())
    async with rediq.serve(app, store, queues=["other"]) as server:
        [info] = await server.client.schedules().list()
    assert (info.name, info.queue, info.type, info.owner) == ("nightly", Q, "note", "app")
    assert info.when == Cron("0 2 * * *", "Europe/Paris")
    assert info.description == 'cron "0 2 * * *" Europe/Paris'
    assert info.next_run is not None
    assert info.next_run > dt.datetime.now(dt.UTC)
    assert (info.paused, info.last_run, info.last_task_id) == (False, None, None)


async def test_another_declaration_replaces_the_first() -> None:
    store = rediq.MemoryStore()
    for when in (Every(3600), Every(1800), Every(1800)):
        app = an_app()
        app.schedule("s", when, note())
        async with rediq.serve(app, store, queues=[Q]) as server:
            assert [info.when for info in await server.client.schedules().list()] == [when]
    assert (await store.dump(Q)).revision == 2, "the same again is no change"


async def test_apps_of_different_names_leave_each_other_s_alone() -> None:
    store = rediq.MemoryStore()
    for name in ("a", "b"):
        app = an_app(name=name)
        app.schedule(f"of-{name}", Every(3600), note())
        async with rediq.serve(app, store, queues=[Q]) as server:
            found = await names(server.client)
    assert found == ["of-a", "of-b"]


async def test_a_schedule_of_a_queue_that_is_not_served_ticks_all_the_same() -> None:
    store = rediq.MemoryStore()
    app = an_app()
    app.schedule("s", Every(0.1), note())
    async with rediq.serve(app, store, queues=["other"]) as server:
        await trio.sleep(0.5)
        assert (await server.client.queue(Q).stats()).pending >= 2


async def test_included_apps_bring_their_schedules() -> None:
    app, other = an_app(), rediq.App()
    app.schedule("a", Every(1), note())
    other.schedule("b", Every(1), note())
    app.include(other)
    assert [entry.name for entry in app.schedules] == ["a", "b"]
    twice = rediq.App()
    twice.schedule("a", Every(1), note())
    with pytest.raises(ConfigError, match="both apps have a schedule named 'a'"):
        app.include(twice)


async def test_a_task_whose_type_nobody_knows_dies_and_its_schedule_goes_on() -> None:
    app = an_app()
    app.schedule("s", Every(0.1), rediq.Task("unknown", queue=Q))
    options: dict[str, Any] = {"queues": [Q], "unknown_type_patience": 0}
    async with rediq.serve(app, rediq.MemoryStore(), **options) as server:
        await trio.sleep(0.6)
        dead = await server.client.queue(Q).dead.list()
        assert len(dead) >= 2
        assert "unknown" in (dead[0].error or "")


# --- at run time


async def test_a_schedule_is_added_replaced_and_removed() -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        schedules = client.schedules()
        info = await schedules.add("s", Every(60), note())
        assert (info.name, info.owner, info.when) == ("s", None, Every(60))
        assert await schedules.get("s") == info
        await schedules.add("s", Every(30), note())
        assert [i.when for i in await schedules.list()] == [Every(30)]
        await schedules.remove("s")
        assert await schedules.list() == []


async def test_one_that_is_added_with_a_task_of_another_queue_moves() -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        await client.schedules().add("s", Every(60), note())
        await client.schedules().add("s", Every(60), note(queue="another"))
        assert [i.queue for i in await client.schedules().list()] == ["another"]


async def test_it_is_paused_and_resumed() -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        schedules = client.schedules()
        added = await schedules.add("s", Every(3600), note())
        await schedules.pause("s")
        paused = await schedules.get("s")
        assert (paused.paused, paused.next_run) == (True, None)
        await schedules.resume("s")
        assert await schedules.get("s") == added


async def test_a_trigger_gives_the_handle_of_its_task(redis_server: Server) -> None:
    options: dict[str, Any] = {"queues": [Q], "key_prefix": "triggers"}
    async with rediq.serve(an_app(), redis_server.url, **options) as server:
        schedules = server.client.schedules()
        await schedules.add("s", Every(3600), note())
        await schedules.pause("s")
        handle = await schedules.trigger("s")
        assert await handle.result(timeout=10) == 1
        assert (await handle.info()).metadata == {"rediq.schedule": "s"}
        assert (await schedules.get("s")).last_task_id == handle.id


async def test_a_trigger_of_a_unique_task_gives_the_one_that_is_there() -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        await client.schedules().add("s", Every(3600), note(unique=rediq.Unique()))
        first = await client.schedules().trigger("s")
        second = await client.schedules().trigger("s")
        assert (second.id, second.created) == (first.id, False)


async def test_scheduled_tasks_may_wait_in_a_group() -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        await client.schedules().add("s", Every(3600), note(group="g"))
        handle = await client.schedules().trigger("s")
        assert (await handle.info()).state is State.GROUPED


@pytest.mark.parametrize("what", ["get", "remove", "pause", "resume", "trigger"])
async def test_a_name_that_no_schedule_has_is_said(what: str) -> None:
    async with rediq.connect(rediq.MemoryStore()) as client:
        await client.enqueue(note())
        with pytest.raises(ScheduleNotFound, match="no schedule is named 'nobody'"):
            await getattr(client.schedules(), what)("nobody")
        with pytest.raises(ConfigError, match="name"):
            await getattr(client.schedules(), what)("no name")


# --- bad input

SOON = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "a b"}, "name"),
    ({"name": "x" * 129}, "name"),
    ({"name": 5}, "name"),
    ({"when": "0 2 * * *"}, "when"),
    ({"when": 60}, "when"),
    ({"task": "note"}, "task"),
    ({"task": None}, "task"),
    ({"task": rediq.Task("note", id="own")}, "id"),
    ({"task": rediq.Task("note", delay=1)}, "delay"),
    ({"task": rediq.Task("note", run_at=SOON)}, "run_at"),
    ({"task": rediq.Task("note", depends_on="a/b")}, "depends_on"),
    ({"task": rediq.Task("note", expires=SOON)}, "expires"),
    ({"task": rediq.Task("note", deadline=SOON)}, "deadline"),
    ({"task": rediq.Task("note", metadata={str(n): "" for n in range(63)})}, "metadata"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
async def test_bad_input_is_refused_and_nothing_written(bad: dict[str, Any], field: str) -> None:
    store = rediq.MemoryStore()
    given: dict[str, Any] = {"name": "s", "when": Every(60), "task": note()} | bad
    with pytest.raises(ConfigError, match=field):
        an_app().schedule(**given)
    async with rediq.connect(store) as client:
        with pytest.raises(ConfigError, match=field):
            await client.schedules().add(**given)
        assert await client.queues() == []


async def test_a_payload_that_cannot_be_carried_is_refused() -> None:
    with pytest.raises(rediq.PayloadError):
        an_app().schedule("s", Every(60), rediq.Task("note", {"x": object()}))
    async with rediq.connect(rediq.MemoryStore(), max_payload=10) as client:
        with pytest.raises(rediq.PayloadTooLarge):
            await client.schedules().add("s", Every(60), rediq.Task("note", {"x": "x" * 20}))


def test_a_name_is_declared_once() -> None:
    app = an_app()
    app.schedule("s", Every(60), note())
    with pytest.raises(ConfigError, match="a schedule named 's' is declared already"):
        app.schedule("s", Every(60), note())


@pytest.mark.parametrize("name", ["", "a b", 5])
def test_an_app_s_name_is_checked(name: Any) -> None:
    with pytest.raises(ConfigError, match="name"):
        rediq.App(name)


def test_keep_is_yes_or_no() -> None:
    keep: Any = 1
    with pytest.raises(ConfigError, match="keep"):
        an_app().schedule("s", Every(60), note(), keep=keep)
