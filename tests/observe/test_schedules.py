from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import Cron, Every, MemoryStore, State
from rediq_trio.observe.schedules import (
    Condition,
    KeptTicks,
    SeenSchedule,
    lateness_of,
    read_newest,
    read_schedules,
    read_ticks,
    tick_of,
)
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.schedules.declare import SCHEDULE_METADATA, TICK_METADATA
from rediq_trio.values.task import TaskInfo

NOW = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


def info(**fields: Any) -> ScheduleInfo:
    given: dict[str, Any] = {
        "name": "nightly", "queue": "reports", "type": "report", "when": Every(60), "description": "every 60 s",
        "paused": False, "next_run": NOW + 30 * SECOND, "last_run": NOW - 30 * SECOND,
        "last_task_id": "reports/x", "owner": None,
    }  # fmt: skip
    return ScheduleInfo(**given | fields)


def task(state: State, tick: dt.datetime | None = NOW - 30 * SECOND, **fields: Any) -> TaskInfo:
    given: dict[str, Any] = {
        "id": "reports/x", "queue": "reports", "type": "report", "state": state, "priority": 50, "attempt": 1,
        "max_retry": 3, "deliveries": 1, "crashes": 0, "created_at": NOW, "run_at": NOW, "started_at": NOW,
        "finished_at": None, "progress": None, "result": None, "error": None, "worker": "w",
        "metadata": {} if tick is None else {TICK_METADATA: tick.isoformat()},
    }  # fmt: skip
    return TaskInfo(**given | fields)


def view(last: TaskInfo | None, *, served: bool = True, **fields: Any) -> SeenSchedule:
    return SeenSchedule(info=info(**fields), at=NOW, last=last, served=served)


@pytest.mark.parametrize(
    ("one", "condition", "said"),
    [
        (view(None, when=None), Condition.BAD, "this version cannot read when it ticks"),
        (view(None, paused=True, next_run=None), Condition.OFF, "it is paused"),
        (view(None, last_task_id=None), Condition.WELL, "it has not ticked yet"),
        (view(None), Condition.WELL, "its last task is gone"),
        (
            view(None, next_run=NOW - 60 * SECOND), Condition.BAD,
            "its tick was due 1 min ago, and no worker made it",
        ),
        (
            view(None, next_run=NOW - 61 * SECOND, served=False), Condition.BAD,
            "its tick was due 1 min 1 s ago: no worker serves reports",
        ),
        (view(None, next_run=NOW - 59 * SECOND), Condition.WELL, "its last task is gone"),
        (view(task(State.COMPLETED)), Condition.WELL, "done"),
        (
            view(task(State.DEAD, error="KeyError: \x1b[31m\nmore")), Condition.BAD,
            "its last task is dead: KeyError: \\x1b[31m",
        ),
        (view(task(State.DEAD)), Condition.BAD, "its last task is dead"),
        (view(task(State.CANCELLED)), Condition.WARNING, "its last task was cancelled"),
        (
            view(task(State.RETRY, run_at=NOW + 5 * SECOND)), Condition.WARNING,
            "its last task failed, and tries again in 5.0 s",
        ),
        (view(task(State.ACTIVE, started_at=NOW - 5 * SECOND)), Condition.WELL, "runs for 5.0 s"),
        (
            view(task(State.ACTIVE, started_at=NOW - 90 * SECOND), when=Every(60, overlap="skip")),
            Condition.WARNING, "ticks are skipped until it ends",
        ),
        (view(task(State.ACTIVE, started_at=NOW - 90 * SECOND)), Condition.WELL, "runs for 1 min 30 s"),
        (
            view(task(State.PENDING, started_at=None)), Condition.WARNING,
            "its last task has waited for 30 s",
        ),
        (
            view(task(State.PENDING, started_at=None), served=False), Condition.BAD,
            "its last task has waited for 30 s: no worker serves reports",
        ),
        (
            view(task(State.PENDING, NOW - 5 * SECOND, started_at=None)), Condition.WELL,
            "its last task waits",
        ),
    ],
)  # fmt: skip
def test_the_worst_there_is_to_say_of_a_schedule_is_said(
    one: SeenSchedule, condition: Condition, said: str
) -> None:
    assert one.condition is condition
    assert said in one.said


def test_a_paused_schedule_is_never_overdue() -> None:
    late = NOW - 3600 * SECOND
    assert view(None, paused=True, next_run=late).overdue == 0.0
    assert view(None, next_run=late).overdue == 3600.0


def test_the_sentence_names_a_state_only_where_it_is_about_the_last_task() -> None:
    assert view(task(State.DEAD)).state is State.DEAD
    assert view(task(State.DEAD), paused=True, next_run=None).state is None
    assert view(None).state is None


def test_a_task_is_late_from_its_tick_until_its_first_attempt_began() -> None:
    done = task(State.COMPLETED, started_at=NOW - 28 * SECOND)
    assert lateness_of(done, NOW) == 2.0
    assert lateness_of(task(State.PENDING, started_at=None), NOW) == 30.0
    assert lateness_of(task(State.DEAD, started_at=None, finished_at=NOW), NOW) is None
    assert lateness_of(task(State.COMPLETED, tick=None), NOW) is None
    assert view(done).late == 2.0
    assert view(None).late is None
    assert lateness_of(task(State.ACTIVE, NOW + SECOND), NOW) == 0.0


@pytest.mark.parametrize("text", ["", "soon", "2026-11-29T12:00:00"])
def test_what_is_no_instant_is_no_tick(text: str) -> None:
    assert tick_of(attrs.evolve(task(State.COMPLETED), metadata={TICK_METADATA: text})) is None


def ticks(*states: State | None, whole: bool = True) -> KeptTicks:
    """Return the tasks of a minute each, the oldest given first; None is a tick without a task."""
    tasks = [
        task(state, NOW + n * 60 * SECOND) for n, state in enumerate(states) if state is not None
    ]
    return KeptTicks(tasks=tuple(reversed(tasks)), whole=whole)


def test_a_tick_without_a_task_shows_as_a_gap_between_those_that_are_kept() -> None:
    kept = ticks(State.DEAD, None, State.COMPLETED, None, None, State.DEAD, State.ACTIVE)
    assert kept.outcomes(info()) == [
        "dead", "completed", "none", "none", "dead", "active",
    ]  # fmt: skip
    assert (kept.at_once, kept.count(State.DEAD, State.COMPLETED)) == (1, 3)


def test_gaps_are_not_shown_where_tasks_may_have_been_overlooked() -> None:
    kept = ticks(State.COMPLETED, None, State.COMPLETED, whole=False)
    assert kept.outcomes(info()) == ["completed", "completed"]
    assert ticks(State.DEAD, None, State.DEAD).outcomes(info()) == ["dead", "dead"]
    assert ticks(State.COMPLETED, None, State.DEAD).outcomes(info(when=None)) == [
        "completed",
        "dead",
    ]


def test_a_gap_of_a_year_is_not_walked_tick_by_tick() -> None:
    old, new = task(State.COMPLETED, NOW), task(State.COMPLETED, NOW + dt.timedelta(days=365))
    kept = KeptTicks(tasks=(new, old), whole=True)
    assert kept.outcomes(info()) == ["none"] * 59 + ["completed"]


async def test_schedules_are_read_with_their_last_tasks_and_ticks() -> None:
    app = rediq.App()

    @app.task("report", queue="reports")
    async def report(day: int) -> int:
        return day

    store = MemoryStore()
    async with rediq.connect(store) as client:
        schedules = client.schedules()
        await schedules.add("b", Cron("0 2 * * *", "Europe/Paris"), report.task(1))
        await schedules.add("a", Every(3600), report.task(2))
        handle = await schedules.trigger("a")
        async with rediq.serve(app, store, queues=["reports"], burst=True) as server:
            await server.wait_stopped()
        found = await read_schedules(client, {"reports"})
        assert [each.info.name for each in found] == ["a", "b"]
        assert found[0].last is not None
        assert (found[0].last.id, found[0].last.state) == (handle.id, State.COMPLETED)
        assert (found[0].served, found[1].last) == (True, None)
        assert [one.info.name for one in await read_schedules(client, (), ("b",))] == ["b"]
        kept = await read_ticks(client, found[0].info)
        assert [one.id for one in kept.tasks] == [handle.id]
        assert kept.whole
        assert kept.tasks[0].metadata[SCHEDULE_METADATA] == "a"
        assert (await read_ticks(client, found[1].info)).tasks == ()
        newest = await read_newest(client, "reports")
        assert {name: len(each.tasks) for name, each in newest.items()} == {"a": 1}
        await handle.delete()
        (gone, _) = await read_schedules(client, ())
        assert (gone.last, gone.served) == (None, False)
        assert isinstance(gone.info.last_task_id, str)
