"""The workload of the crash points: stories that together go along every edge of the state machine.

A story is a list of steps: what users ask for, and what the parts of a worker do. Each step can
be done again when nobody knows whether it was done: users give own ids, and the library's parts
may be repeated by what they promise. What a story comes to is never written down here: it is
what the specification says, by the same steps.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import attrs

import rediq_trio as rediq
from rediq_trio import DuplicateTask, QueueFull, State, TaskNotFound, TaskStateError, Unique
from rediq_trio.schedules.declare import AppSchedules, ScheduleDeclaration
from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType
from rediq_trio.spec.check.member import member_target
from rediq_trio.spec.history.type_counts import NO_COUNTS
from rediq_trio.spec.messages import WorkerOrder
from tests.faults.stage import FAR, YEAR, Stage

Step = Callable[[Stage], Awaitable[Any]]


@attrs.frozen
class Story:
    """Steps, and where a cut may change what they come to."""

    name: str
    steps: tuple[Step, ...]
    either: Mapping[str, tuple[State | None, ...]] = attrs.field(factory=dict)
    """Tasks for which a worker that died, or an answer that was lost, leaves another end."""
    again: tuple[str, ...] = ()
    """Types of tasks of which a user who repeats what was not answered may get a second one."""
    must_run: tuple[str, ...] = ()
    """Tasks that are gone in the end, and whose handlers have to have run."""
    max_dead: int = 1000


def task(kind: str, own: str | None, queue: str = "a", **options: Any) -> rediq.Task[Any]:
    """Make a task that is kept, and that once it has failed waits beyond the story's end."""
    options = {"retention": YEAR, "backoff": rediq.Fixed(FAR)} | options
    return rediq.Task(kind, {}, id=own, queue=queue, **options)


def add(*tasks: rediq.Task[Any]) -> Step:
    return lambda stage: stage.client.enqueue_many(tasks)


def one(item: rediq.Task[Any] | rediq.Workflow[Any]) -> Step:
    """Enqueue by itself; what is there already was enqueued before the cut."""

    async def step(stage: Stage) -> None:
        try:
            await stage.client.enqueue(item)
        except (DuplicateTask, QueueFull):
            pass

    return step


def wait(seconds: float) -> Step:
    async def step(stage: Stage) -> None:
        stage.clock.advance(round(seconds * 1000))

    return step


def keep(duty: str, queue: str = "a") -> Step:
    return lambda stage: stage.keep(duty, queue)


def run(*owns: str) -> Step:
    return lambda stage: stage.run(*owns)


def give_back(*owns: str) -> Step:
    async def step(stage: Stage) -> None:
        stage.give_back(*owns)

    return step


def operate(name: str, task_id: str) -> Step:
    """Cancel, retry or delete a task; one that is gone was deleted before the cut."""

    async def step(stage: Stage) -> None:
        try:
            await getattr(stage.client.task(task_id), name)()
        except TaskNotFound:
            pass

    return step


async def claim(stage: Stage) -> None:
    await stage.claim()


async def settle(stage: Stage) -> None:
    await stage.settle()


async def work(stage: Stage) -> None:
    await stage.work()


async def work_b(stage: Stage) -> None:
    await stage.work("b")


async def register(stage: Stage) -> None:
    await stage.register()


def queue(do: Callable[[rediq.Queue], Awaitable[Any]], name: str = "a") -> Step:
    return lambda stage: do(stage.client.queue(name))


REPLACE = Unique(key="u", on_conflict="replace")

COMING = Story(
    "coming",
    (
        add(task("ok", "now"), task("ok", "later", delay=60), task("ok", "group", group="g")),
        one(task("ok", "blocked", depends_on="a/later")),
        one(task("manual", None)),
        # Scheduled and pending, each in the place of each.
        one(task("ok", "u", unique=REPLACE, delay=FAR)),
        one(task("ok", "u2", unique=REPLACE, delay=FAR / 2)),
        one(task("ok", "u3", unique=REPLACE)),
        one(task("ok", "u4", unique=REPLACE)),
        one(task("ok", "u5", unique=REPLACE, delay=60)),
        add(task("bad", "bad"), task("ok", "too-late", expires=1)),
        wait(2),
        claim, run(), settle,
        one(task("ok", "at-once", depends_on="a/bad")),
        wait(60),
        keep("promote"),
        work,
    ),
    again=("manual",),
)  # fmt: skip

RUNNING = Story(
    "running",
    (
        add(
            task("ok", "ok"), task("ok", "unkept", retention=0), task("bad", "bad"),
            task("flaky", "flaky", backoff=rediq.Fixed(30)), task("sleepy", "sleepy"),
            task("parent", "parent"), task("ok", "back", priority=90),
        ),
        claim,
        register,
        give_back("back"),
        run(),
        settle,
        wait(40),
        keep("promote"),
        claim, run(), settle,
        keep("relay"),
        work_b,
        lambda stage: stage.store.unregister("stage"),
    ),
    must_run=("unkept",),
)  # fmt: skip

CANCELLING = Story(
    "cancelling",
    (
        add(task("stubborn", "retry"), task("ok", "source", delay=FAR)),
        work,
        add(
            task("ok", "pending", priority=99), task("ok", "scheduled", delay=FAR),
            task("ok", "blocked", depends_on="a/source"), task("ok", "grouped", group="g"),
        ),
        *(operate("cancel", f"a/{own}") for own in ("pending", "scheduled", "blocked", "grouped", "retry")),
        add(*(task("ok", own) for own in ("stop", "back", "lapse")),
            task("stubborn", "fail"), task("sleepy", "snooze")),
        claim,
        run("fail", "snooze"),
        *(operate("cancel", f"a/{own}") for own in ("stop", "back", "lapse", "fail", "snooze")),
        register,
        run("stop"),
        give_back("back"),
        settle,
        wait(700),
        keep("reclaim"),
    ),
)  # fmt: skip

LAPSING = Story(
    "lapsing",
    (
        add(task("ok", "again"), task("ok", "poison", max_crashes=0)),
        claim,
        wait(700),
        keep("reclaim"),
        work,
    ),
)

EXPIRING = Story(
    "expiring",
    (
        add(task("stubborn", "retry", expires=100), task("ok", "source", delay=FAR)),
        work,
        add(
            task("ok", "pending", expires=100), task("ok", "scheduled", delay=FAR, expires=100),
            task("ok", "grouped", group="g", expires=100),
            task("ok", "blocked", depends_on="a/source", expires=100),
        ),
        wait(200),
        keep("expire"),
        # At its claim, before a keeper has come.
        one(task("ok", "late", expires=10)),
        wait(20),
        work,
    ),
)  # fmt: skip

REVIVING = Story(
    "reviving",
    (
        add(task("flaky", "dead", max_retry=0), task("ok", "source", delay=FAR)),
        work,
        add(
            task("ok", "d-blocked", depends_on="a/source", expires=100),
            task("ok", "d-grouped", group="g", expires=100),
            task("ok", "c-pending", delay=FAR), task("ok", "c-grouped", group="g"),
            task("ok", "c-blocked", depends_on="a/source"),
        ),
        *(operate("cancel", f"a/c-{word}") for word in ("pending", "grouped", "blocked")),
        wait(200),
        keep("expire"),
        *(operate("retry", f"a/c-{word}") for word in ("pending", "grouped", "blocked")),
        queue(lambda q: q.dead.retry("a/dead")),
        queue(lambda q: q.dead.retry_all()),
        work,
    ),
    # Not dead yet when its retry came.
    either={"dead": (State.DEAD, State.COMPLETED)},
)  # fmt: skip

WAYS_OUT = ("pending", "scheduled", "blocked", "grouped", "retry", "completed", "dead", "cancelled")

DELETING = Story(
    "deleting",
    (
        add(task("stubborn", "retry"), task("ok", "completed"), task("bad", "dead"),
            task("bad", "purged"), task("ok", "source", delay=FAR)),
        work,
        add(
            task("ok", "pending"), task("ok", "scheduled", delay=FAR),
            task("ok", "blocked", depends_on="a/source"), task("ok", "grouped", group="g"),
            task("ok", "cancelled", delay=FAR),
        ),
        operate("cancel", "a/cancelled"),
        *(operate("delete", f"a/{own}") for own in WAYS_OUT),
        queue(lambda q: q.dead.purge()),
    ),
    # Held by a worker that is gone when the deletion came.
    either={
        "retry": (None, State.RETRY), "completed": (None, State.COMPLETED),
        "dead": (None, State.DEAD), "purged": (None, State.DEAD),
    },
)  # fmt: skip

FLUSHING = Story(
    "flushing",
    (
        add(task("stubborn", "retry"), task("ok", "completed"), task("bad", "dead")),
        work,
        one(task("ok", "active")),
        claim,
        add(
            task("ok", "pending"), task("ok", "scheduled", delay=FAR), task("ok", "grouped", group="g"),
            task("ok", "cancelled", delay=FAR), task("ok", "blocked", depends_on="a/scheduled"),
        ),
        one(task("ok", "elsewhere", "b", depends_on="a/scheduled")),
        operate("cancel", "a/cancelled"),
        queue(lambda q: q.flush()),
        lambda stage: stage.client.mark("flushed"),
        run(),
        settle,
    ),
)  # fmt: skip

PURGING = Story(
    "purging",
    (
        add(task("ok", "completed", retention=60), task("bad", "dead"),
            task("ok", "cancelled", delay=FAR, retention=0),
            task("ok", "lock", unique=Unique(key="u", until="expired", ttl=60))),
        operate("cancel", "a/cancelled"),
        work,
        wait(120),
        keep("purge"),
    ),
    must_run=("completed", "dead", "lock"),
    max_dead=0,
)  # fmt: skip

GROUPING = Story(
    "grouping",
    (
        add(*(task("ok", f"m{n}", group="heap") for n in range(3))),
        keep("batch"),
        claim, run(), settle,
        add(*(task("ok", f"n{n}", group="heap") for n in range(2))),
        wait(60),
        keep("batch"),
        work,
        work,
    ),
)  # fmt: skip


def workflow() -> rediq.Workflow[Any]:
    flow: rediq.Workflow[Any] = rediq.Workflow()
    first = flow.add(task("ok", "w1"), "w1")
    second = flow.add(task("ok", "w2", "b"), "w2", after=first)
    flow.add(task("adder", "w3"), "w3", after=(first, second))
    return flow


TYING = Story(
    "tying",
    (
        add(task("ok", "s"), task("bad", "x"), task("adder", "here", depends_on="a/s")),
        add(task("adder", "there", "b", depends_on="a/s")),
        one(task("adder", "back", depends_on=("b/there", "a/s"))),
        add(task("ok", "delayed", depends_on="a/s", delay=300), task("ok", "dies", depends_on="a/x"),
            task("ok", "runs", depends_on="a/x", on_dependency_failure="run")),
        one(workflow()),
        work,
        keep("unblock"), keep("relay"), keep("relay", "b"),
        work_b,
        keep("relay", "b"), keep("relay"),
        work,
    ),
)  # fmt: skip


def limit(**limits: Any) -> Step:
    return queue(lambda q: q.limit(**limits))


LIMITING = Story(
    "limiting",
    (
        queue(lambda q: q.pause()),
        limit(key="k", concurrency=1),
        limit(rate=rediq.Rate(100, per=1, burst=100), concurrency=50, max_pending=3, fair_by="limit_key"),
        add(task("ok", "k1", limit_key="k"), task("ok", "k2", limit_key="k"), task("ok", "free")),
        one(task("ok", "full")),
        claim,
        queue(lambda q: q.resume()),
        claim, run(), settle,
        work,
        limit(max_pending=None, rate=None, concurrency=None, fair_by=None),
        one(task("ok", "full")),
        queue(lambda q: q.limits()),
        work,
    ),
)  # fmt: skip


def post(stage: Stage) -> Awaitable[None]:
    """Declare what an app schedules, as `serve` does when it begins."""
    entries = [ScheduleDeclaration("tock", rediq.Every(60), task("tick", None))]
    return AppSchedules.of("stage", entries, 1000).declare(stage.store)


def schedules(do: Callable[[Any], Awaitable[Any]]) -> Step:
    async def step(stage: Stage) -> None:
        try:
            await do(stage.client.schedules())
        except rediq.ScheduleNotFound:
            pass

    return step


SCHEDULING = Story(
    "scheduling",
    (
        post,
        schedules(lambda s: s.add("hand", rediq.Every(FAR), task("manual", None))),
        wait(61),
        keep("tick"),
        schedules(lambda s: s.pause("tock")),
        wait(120),
        keep("tick"),
        schedules(lambda s: s.resume("tock")),
        schedules(lambda s: s.trigger("hand")),
        wait(61),
        keep("tick"),
        schedules(lambda s: s.remove("tock")),
        # One that no app declares is removed for good; then what no live worker declares is.
        schedules(lambda s: s.remove("hand")),
        lambda stage: stage.store.retract_others("a", owner="stage", names=()),
        work,
    ),
    again=("manual",),
)


async def hear(stage: Stage) -> None:
    """Have the client listen, and wait until it does: from then on nothing of that is sent."""
    with stage.store.listen([("a", "")]) as signals:
        await signals.receive()


async def order(stage: Stage) -> None:
    """Send an order to the worker of the story, which never looks for any."""
    await stage.store.order("stage", WorkerOrder("01", b"order"), queue="a")


async def workflows(stage: Stage) -> None:
    """Write the record of a workflow, read it, look at it, and remove it."""
    await stage.store.keep_workflow("story", b"graph")
    await stage.store.workflow("story")
    await stage.store.due_workflows(limit=1)
    await stage.store.forget_workflow("story")


async def partition(stage: Stage) -> None:
    await stage.client.queue("c").partition(2)
    await stage.client.queue("c").partition(1)


LOOKING = Story(
    "looking",
    (
        add(task("ok", "done"), task("ok", "later", delay=FAR)),
        work,
        # Where a worker's claim was cut off, the next one has the task.
        wait(700),
        keep("reclaim"),
        work,
        hear,
        lambda stage: stage.client.task("a/done").result(),
        lambda stage: stage.client.task("a/later").info(),
        queue(lambda q: q.stats()),
        queue(lambda q: q.tasks("scheduled")),
        lambda stage: stage.client.workers(),
        lambda stage: stage.client.queues(),
        lambda stage: stage.client.overview(),
        lambda stage: stage.store.sample("a", known=-1, unseen_ms=0),
        queue(lambda q: q.series(dt.timedelta(hours=1))),
        lambda stage: stage.store.tally(
            "a", worker=b"worker-1", number=1, counts={"ok": (1, *NO_COUNTS[1:])}
        ),
        queue(lambda q: q.types()),
        queue(lambda q: q.series_bytes()),
        lambda stage: stage.store.note_size("a", 9, last=True, most=1),
        lambda stage: stage.store.trim("a", shed=1),
        queue(lambda q: q.failures()),
        lambda stage: stage.client.task("a/later").why(),
        lambda stage: stage.store.states("a", ["later"]),
        register,
        order,
        partition,
        workflows,
    ),
)

MEMBER = b"\x01g" + b"0" * 16 + b"n"
SOUND = (
    Repair(Action.SEQ, Target(TargetType.TASK, "n"), "", "", ""),
    Repair(Action.LIST, Target(TargetType.TASK, "n"), "", "", ""),
    Repair(
        Action.REINDEX, member_target("n", State.GROUPED, 0, "g", b"grouped", MEMBER), "", "", ""
    ),
    Repair(
        Action.RELINK, Target(TargetType.DEPENDENCY, "n", "needs", raw=(b"n", b"needs")), "", "", ""
    ),
    Repair(Action.FREE, Target(TargetType.UNIQUE, "u", raw=(b"u",)), "", "", ""),
    Repair(Action.LANE, Target(TargetType.LANE, "k", raw=(b"k",)), "", "", ""),
    Repair(Action.GROUP, Target(TargetType.GROUP, "g", raw=(b"g",)), "", "", ""),
    Repair(Action.SCHEDULE, Target(TargetType.SCHEDULE, "s", raw=(b"s",)), "", "", ""),
)
"""A repair of each kind, of what needs none: it looks again, and changes nothing."""


async def repair(stage: Stage) -> None:
    for each in SOUND:
        assert not await stage.store.repair("a", each)


async def tell_history(stage: Stage) -> None:
    assert [line async for line in stage.client.queue("a").history_lines()]


LATER = rediq.Every(YEAR)

REPAIRING = Story(
    "repairing",
    (
        limit(key="k", concurrency=5),
        add(
            task("ok", "n", delay=FAR),
            task("ok", "u", unique=Unique(key="u"), delay=FAR),
            task("ok", "key", limit_key="k"),
            task("ok", "group", group="g"),
            task("ok", "needs", depends_on="a/n"),
        ),
        schedules(lambda s: s.add("s", LATER, task("tick", None))),
        queue(lambda q: q.keep_history(100)),
        one(task("ok", "far", "b", depends_on="a/n")),
        repair,
        queue(lambda q: q.check()),
        tell_history,
    ),
)


def change(name: str, task_id: str, *args: Any, **changes: Any) -> Step:
    """Change a task that waits; one that is elsewhere, or runs already, was changed before the cut."""

    async def step(stage: Stage) -> None:
        with suppress(TaskNotFound, TaskStateError):
            await getattr(stage.client.task(task_id), name)(*args, **changes)

    return step


MOVED = ("scheduled", "pending", "retry", "dead", "cancelled")

CHANGING = Story(
    "changing",
    (
        add(*(task("stubborn", own) for own in ("retry", "sooner", "later")), task("bad", "dead")),
        work,
        # Where a worker's claim was cut off, the next one has the task.
        wait(700),
        keep("reclaim"),
        work,
        change("update", "a/sooner", priority=7),
        change("reschedule", "a/later", delay=FAR),
        change("run_now", "a/sooner"),
        add(
            task("ok", "scheduled", delay=FAR), task("ok", "pending"),
            task("ok", "cancelled", delay=FAR), task("ok", "source", delay=FAR),
            task("ok", "blocked", depends_on="a/source"), task("ok", "grouped", group="g"),
            task("ok", "early", delay=FAR), task("ok", "late"),
        ),
        *(change("update", f"a/{own}", priority=7) for own in ("early", "late", "blocked", "grouped")),
        change("reschedule", "a/early", delay=FAR / 2),
        change("run_now", "a/early"),
        change("reschedule", "a/late", delay=FAR),
        operate("cancel", "a/cancelled"),
        *(change("requeue", f"a/{own}", "b") for own in MOVED),
        queue(lambda q: q.limit(max_pending=5), "empty"),
        queue(lambda q: q.remove(), "empty"),
    ),
)  # fmt: skip

STORIES = (
    COMING, RUNNING, CANCELLING, LAPSING, EXPIRING, REVIVING, DELETING, FLUSHING, PURGING,
    GROUPING, TYING, LIMITING, SCHEDULING, LOOKING, REPAIRING, CHANGING,
)  # fmt: skip
