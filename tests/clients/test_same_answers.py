"""Each public method returns and raises the same on the three kinds of clients, on a real Redis."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from docs import other_clients
from rediq_trio import Every, State, Task
from rediq_trio.spec.check.findings import Action, Target, TargetType
from tests.clients.kinds import KINDS, done, listed, worker
from tests.servers import Server

app = rediq.App("clients")


@app.task("add", queue="work")
async def add(a: int, b: int) -> int:
    rediq.current_task().progress(50, "half")
    return a + b


@app.task("fail", queue="work", max_retry=0)
async def fail() -> None:
    raise ValueError("as it must")


DRAWN = {"cursor", "worker", "workflow"}
"""Fields that hold an instant or a drawn name."""


def plain(value: Any, prefix: str) -> Any:
    """Return a value without what differs from run to run, such as times and drawn ids."""
    if isinstance(value, BaseException):
        more = {name: plain(found, prefix) for name, found in vars(value).items()}
        return type(value), str(value), more
    if isinstance(value, dt.datetime | float):
        return type(value)
    if isinstance(value, int):
        return value
    if attrs.has(type(value)):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
        fields |= {name: type(fields[name]) for name in DRAWN & fields.keys()}
        return type(value), plain(fields, prefix)
    if isinstance(value, Mapping):
        return {name: plain(found, prefix) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, prefix) for each in value]
    if type(value).__module__.startswith("rediq_trio") and not isinstance(
        value, State | rediq.WhyKind
    ):
        name = type(value).__name__
        assert name.startswith(prefix)
        assert name.removeprefix(prefix) in other_clients.CLASSES
        said = {key: found for key, found in vars(value).items() if not key.startswith("_")}
        if name.endswith("WorkflowHandle"):
            said["id"] = type(said["id"])  # it is drawn
        return name.removeprefix(prefix), plain(said, prefix)
    return value


async def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method; return what it returns or raises."""
    try:
        return await done(call(*args, **kwargs))
    except Exception as error:
        return error


def task(name: str, **options: Any) -> Task[Any]:
    return Task("none", {"a": 1}, id=name, queue="q", **options)


async def dead(client: Any) -> Any:
    """Enqueue a task that the worker makes dead, and wait for it."""
    handle = await done(client.enqueue(fail.options(id="dead").task()))
    await done(handle.wait(30))
    return handle


async def enqueue(client: Any) -> list[Any]:
    await done(client.queue("full").limit(max_pending=1))
    return [
        await attempt(client.enqueue, task("a")),
        await attempt(client.enqueue, task("a")),
        await attempt(client.enqueue, task("b", unique=rediq.Unique("k", on_conflict="return"))),
        await attempt(client.enqueue, task("c", unique=rediq.Unique("k", on_conflict="return"))),
        await attempt(client.enqueue, Task("t", {"a": 1j})),
        await attempt(client.enqueue, Task("t", id="d", queue="full"), wait=True),
        await attempt(client.enqueue, Task("t", id="e", queue="full")),
        await attempt(client.enqueue, rediq.chain(task("f"), task("g"))),
        await attempt(client.enqueue, rediq.Workflow()),
    ]


async def enqueue_many(client: Any) -> list[Any]:
    await done(client.queue("full").limit(max_pending=1))
    full = [Task("t", id=name, queue="full") for name in ("c", "d")]
    return [
        await attempt(client.enqueue_many, [task("a"), task("b")]),
        await attempt(client.enqueue_many, [task("a"), task("x")]),
        await attempt(client.enqueue_many, [task("e"), *full]),
        await attempt(client.enqueue_many, []),
    ]


async def open_task(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    return [client.task("q/a"), await attempt(client.task, "nothing")]


async def open_queue(client: Any) -> list[Any]:
    return [client.queue("q").name, await attempt(client.queue, "a b")]


async def queues(client: Any) -> list[Any]:
    before = await done(client.queues())
    await done(client.enqueue(task("a")))
    return [before, await done(client.queues())]


async def overview(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    found = await done(client.overview())
    some = await done(client.overview(["none"]))
    return [dict(found.queues), dict(some.queues), await attempt(client.overview, ["a b"])]


async def workers(client: Any) -> list[Any]:
    for _ in range(1000):
        if found := await done(client.workers()):
            break
        time.sleep(0.02)  # noqa: ASYNC251 until its first heartbeat
    return [len(found), found[0].queues]


async def worker_of(client: Any) -> Any:
    await workers(client)
    (info,) = await done(client.workers())
    return client.worker(info.id)


async def open_worker(client: Any) -> list[Any]:
    return [client.worker("w").id, await attempt(client.worker, "")]


async def worker_info(client: Any) -> list[Any]:
    found = await done((await worker_of(client)).info())
    missing = await attempt(client.worker("none").info)
    return [found.queues, found.state, type(missing), missing.worker]


def by_order(method: str, **options: Any) -> Callable[[Any], Awaitable[list[Any]]]:
    async def scenario(client: Any) -> list[Any]:
        worker = await worker_of(client)
        call = getattr(worker, method)
        missing = await attempt(getattr(client.worker("none"), method), **options)
        # A name of the worker that is alive is drawn.
        return [await attempt(call, **options), type(missing), missing.worker]

    return scenario


async def open_schedules(client: Any) -> list[Any]:
    return [await done(client.schedules().list())]


async def task_info(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    return [await attempt(handle.info), await attempt(client.task("q/none").info)]


async def task_why(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    return [await attempt(handle.why), await attempt(client.task("q/none").why)]


async def task_result(client: Any) -> list[Any]:
    added = await done(client.enqueue(add.options(id="added").task(1, 2)))
    waiting = await done(client.enqueue(task("a")))
    gone = await done(client.enqueue(task("b")))
    await done(gone.cancel())
    return [
        await attempt(added.result, 30),
        await attempt((await dead(client)).result),
        await attempt(waiting.result, 0.05),
        await attempt(gone.result),
        await attempt(client.task("q/none").result),
        await attempt(waiting.result, -1),
    ]


async def task_wait(client: Any) -> list[Any]:
    added = await done(client.enqueue(add.options(id="added").task(1, 2)))
    waiting = await done(client.enqueue(task("a")))
    found = await done(added.wait(timeout=30))
    late = await attempt(waiting.wait, timeout=0.05)
    return [found.state, found.progress, late, await attempt(client.task("q/none").wait)]


async def task_progress(client: Any) -> list[Any]:
    added = await done(client.enqueue(add.options(id="added").task(1, 2)))
    await done(added.wait(30))
    try:
        await listed(client.task("q/none").progress())
    except rediq.TaskNotFound as error:
        return [await listed(added.progress()), error]
    raise AssertionError("there is no such task")


async def task_cancel(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    none = client.task("q/none")
    return [*[await attempt(handle.cancel) for _ in range(2)], await attempt(none.cancel)]


async def task_retry(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    await done(handle.cancel())
    none = client.task("q/none")
    return [*[await attempt(handle.retry) for _ in range(2)], await attempt(none.retry)]


async def task_delete(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    return [*[await attempt(handle.delete) for _ in range(2)]]


async def task_run_now(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a", delay=60)))
    found = [await attempt(handle.run_now) for _ in range(2)]
    await done(handle.cancel())
    none = client.task("q/none")
    return [*found, await attempt(handle.run_now), await attempt(none.run_now)]


async def task_reschedule(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    return [
        await attempt(handle.reschedule, delay=60),
        await attempt(handle.reschedule, run_at=past),
        await attempt(handle.reschedule),
        await attempt(handle.reschedule, delay=5, run_at=past),
        await attempt(handle.reschedule, delay=-1),
        await attempt(client.task("q/none").reschedule, delay=1),
    ]


async def task_update(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    seen = await done(handle.info())
    found = await attempt(handle.update, payload={"a": 2}, priority=7)
    return [
        found,
        await attempt(handle.update, seen=seen, priority=8),
        await attempt(handle.update, priority=-1),
        await attempt(handle.update, queue="other"),
        (await done(handle.info())).priority,
        await attempt(client.task("q/none").update, priority=1),
    ]


async def task_enqueue_again(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a", unique=rediq.Unique("k"))))
    return [
        await attempt(handle.enqueue_again),
        await attempt(handle.enqueue_again, id="b", unique=None, priority=7),
        await attempt(handle.enqueue_again, depends_on="q/a"),
        await attempt(client.task("q/none").enqueue_again),
    ]


async def task_requeue(client: Any) -> list[Any]:
    handle = await done(client.enqueue(task("a")))
    there = await done(handle.requeue("other"))
    tied = await done(client.enqueue(task("b", unique=rediq.Unique("k"))))
    return [
        there.queue,
        (await done(there.info())).state,
        await attempt(handle.requeue, "other"),
        await attempt(tied.requeue, "other"),
        await attempt(tied.requeue, "q"),
    ]


async def workflow(client: Any) -> Any:
    """Enqueue a workflow that the worker runs."""
    graph = rediq.Workflow("sums")
    first = graph.add(add.options(id="first").task(1, 2), "first")
    graph.add(add.options(id="second").task(3, 4), "second", after=first)
    return await done(client.enqueue(graph))


async def waiting_workflow(client: Any) -> Any:
    return await done(client.enqueue(rediq.chain(task("a"), task("b"))))


async def workflow_info(client: Any) -> list[Any]:
    handle = await waiting_workflow(client)
    return [handle, await attempt(handle.info)]


async def workflow_result(client: Any) -> list[Any]:
    handle = await workflow(client)
    late = await waiting_workflow(client)
    return [
        await attempt(handle.result, 30),
        await attempt(late.result, 0.05),
        await attempt(late.result, "soon"),
    ]


async def workflow_wait(client: Any) -> list[Any]:
    found = await done((await workflow(client)).wait(timeout=30))
    late = await waiting_workflow(client)
    return [found.states, found.done, await attempt(late.wait, 0.05)]


async def workflow_cancel(client: Any) -> list[Any]:
    handle = await waiting_workflow(client)
    return [await attempt(handle.cancel), await attempt(handle.cancel)]


async def workflow_retry(client: Any) -> list[Any]:
    handle = await waiting_workflow(client)
    await done(handle.cancel())
    return [await attempt(handle.retry), await attempt(handle.retry)]


async def workflow_states(client: Any) -> list[Any]:
    return [await attempt((await waiting_workflow(client)).states)]


async def workflow_status(client: Any) -> list[Any]:
    status = await done((await waiting_workflow(client)).status())
    return [status.state, status.total, status.counts]


async def client_workflow(client: Any) -> list[Any]:
    handle = await waiting_workflow(client)
    found = await done(client.workflow(handle.id))
    return [
        list(found.handles), found.needs, await attempt(found.states),
        await attempt(client.workflow, "none"), await attempt(client.workflow, "no/id"),
    ]  # fmt: skip


async def client_workflows(client: Any) -> list[Any]:
    handle = await waiting_workflow(client)
    [found] = await done(client.workflows(limit=1, state="running"))
    return [
        found.id == handle.id, found.total, await attempt(client.workflows, limit=0),
        await attempt(client.workflows, state="odd"), await attempt(client.workflows, after="odd"),
    ]  # fmt: skip


async def workflow_mermaid(client: Any) -> list[Any]:
    return [await attempt((await waiting_workflow(client)).mermaid)]


async def workflow_svg(client: Any) -> list[Any]:
    return [await attempt((await waiting_workflow(client)).svg)]


async def dead_list(client: Any) -> list[Any]:
    await dead(client)
    letters = client.queue("work").dead
    return [
        await attempt(letters.list), await attempt(letters.list, limit=0),
        await attempt(letters.list, newest=True),
    ]  # fmt: skip


async def dead_retry(client: Any) -> list[Any]:
    handle = await dead(client)
    letters = client.queue("work").dead
    retried = await attempt(letters.retry, handle.id)
    await done(handle.wait(30))
    return [retried, await attempt(letters.retry, "work/none"), await attempt(letters.retry, "")]


async def dead_retry_all(client: Any) -> list[Any]:
    await dead(client)
    return [await attempt(client.queue("work").dead.retry_all)]


async def dead_purge(client: Any) -> list[Any]:
    await dead(client)
    letters = client.queue("work").dead
    return [await attempt(letters.purge), await attempt(letters.list)]


async def queue_stats(client: Any) -> list[Any]:
    await done(client.enqueue_many([task("a"), task("b")]))
    return [await attempt(client.queue("q").stats), client.queue("q").dead]


async def queue_types(client: Any) -> list[Any]:
    read = client.queue("q").types
    wrong = [await attempt(read, dt.timedelta(hours=25)), await attempt(read, 5)]
    return [await attempt(read), *wrong]


async def queue_series_bytes(client: Any) -> list[Any]:
    return [await attempt(client.queue("q").series_bytes)]


async def queue_series(client: Any) -> list[Any]:
    await done(client.enqueue_many([task("a"), task("b")]))
    read = client.queue("q").series
    found = await done(read(dt.timedelta(minutes=5)))
    return [type(found), found.step, await attempt(read, 5)]


async def queue_failures(client: Any) -> list[Any]:
    await done(client.enqueue_many([task("a"), task("b")]))
    queue = client.queue("q")
    found = await attempt(queue.failures)
    return [found, await attempt(queue.dead.list, kind="0123456789ab")]


async def queue_groups(client: Any) -> list[Any]:
    await done(client.enqueue_many([Task("t", queue="q", group=name) for name in "aab"]))
    read = client.queue("q").groups
    found = await attempt(read)
    return [[(each.name, each.size, each.queue) for each in found], await attempt(read, limit=0)]


async def queue_partition(client: Any) -> list[Any]:
    queue = client.queue("q")
    found = [await attempt(queue.partition, 2), await attempt(queue.partition, 65)]
    await done(client.enqueue(task("a")))
    return [*found, await attempt(queue.partition, 3)]


async def queue_tasks(client: Any) -> list[Any]:
    await done(client.enqueue_many([task("a"), task("b")]))
    queue = client.queue("q")
    first = await attempt(queue.tasks, State.PENDING, limit=1)
    return [
        first,
        await attempt(queue.tasks, "pending", after=first[0]),
        await attempt(queue.tasks, "x"),
    ]


async def queue_find(client: Any) -> list[Any]:
    await done(client.enqueue_many([task(f"t{number}") for number in range(130)]))
    queue = client.queue("q")
    found = queue.find("pending", newest=False, type="none", payload=("a", 1))
    listed_ids = [info.id for info in await listed(found)]
    left = queue.find("pending")
    first = await done(anext(left) if hasattr(left, "__anext__") else next(left))
    seen = [0 < left.looked_at < 130, left.of, left.unreadable, found.looked_at]
    await done(left.aclose() if hasattr(left, "aclose") else left.close())
    return [
        listed_ids,
        first,
        seen,
        await listed(left),
        await attempt(queue.find, "x"),
        await attempt(queue.find, "dead", typ="a"),
        await attempt(queue.find, "dead", priority=101),
    ]


async def selected(client: Any, state: str, **where: Any) -> Any:
    """Enqueue two tasks of which one is dead; return what was selected."""
    needed = await done(client.enqueue(task("needed", delay=60)))
    await done(client.enqueue(task("x", depends_on=needed.id)))
    await done(needed.cancel())
    return await done(client.queue("q").select(state, **where))


async def queue_select(client: Any) -> list[Any]:
    queue = client.queue("q")
    return [
        await attempt(queue.select, "dead"),
        await attempt(queue.select, "x"),
        await attempt(queue.select, "dead", typ="a"),
    ]


async def selection_count(client: Any) -> list[Any]:
    counts = [await attempt((await selected(client, "dead", type="none")).count)]
    return [*counts, await attempt((await done(client.queue("q").select("retry"))).count)]


async def selection_preview(client: Any) -> list[Any]:
    return [await attempt((await selected(client, "dead")).preview)]


async def selection_retry(client: Any) -> list[Any]:
    selection = await selected(client, "cancelled")
    found = [await listed(selection.retry(rate=100)), await attempt(selection.retry, rate=0)]
    return [*found, await attempt(selection.count), await attempt(selection.cancel)]


async def selection_cancel(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    selection = await done(client.queue("q").select("pending"))
    return [await listed(selection.cancel()), await attempt(selection.retry)]


async def selection_delete(client: Any) -> list[Any]:
    selection = await selected(client, "dead")
    return [await listed(selection.delete()), await attempt(selection.count)]


async def selection_requeue(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    selection = await done(client.queue("q").select("pending"))
    found = [await listed(selection.requeue("other")), await attempt(selection.requeue, "q")]
    return [*found, await attempt(selection.requeue, "a b"), await done(client.queues())]


async def selection_export(client: Any) -> list[Any]:
    selection = await selected(client, "dead")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.jsonl"
        found = [await attempt(selection.export, path), len(path.read_text().splitlines())]
        assert isinstance(await attempt(selection.export, path), rediq.ConfigError)
        assert isinstance(await attempt(selection.export, Path(folder) / "no" / "a"), OSError)
    return found


async def queue_import_tasks(client: Any) -> list[Any]:
    selection = await selected(client, "dead")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.jsonl"
        await done(selection.export(path))
        queue = client.queue("other")
        found = [await listed(queue.import_tasks(path)), await listed(queue.import_tasks(path))]
        path.write_text("no")
        return [*found, await attempt(listed, queue.import_tasks(path))]


async def queue_pause(client: Any) -> list[Any]:
    queue = client.queue("q")
    paused = await attempt(queue.pause, "reason", by="ada")
    stats = await done(queue.stats())
    return [paused, stats.paused, stats.paused_by, stats.paused_reason, stats.paused_since is None]


async def queue_resume(client: Any) -> list[Any]:
    queue = client.queue("q")
    await done(queue.pause())
    return [await attempt(queue.resume), (await done(queue.stats())).paused]


async def queue_flush(client: Any) -> list[Any]:
    await done(client.enqueue_many([task("a"), task("b")]))
    return [await attempt(client.queue("q").flush), await attempt(client.queue("q").flush)]


async def queue_remove(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    queue = client.queue("q")
    full = await attempt(queue.remove)
    await done(queue.flush())
    return [
        full,
        await attempt(queue.remove),
        await attempt(queue.stats),
        await attempt(queue.remove),
    ]


async def queue_limit(client: Any) -> list[Any]:
    queue = client.queue("q")
    rate = rediq.Rate(5, 1.0)
    return [
        await attempt(queue.limit, concurrency=2, rate=rate, max_pending=9, fair_by="limit_key"),
        await attempt(queue.limit, key="*", concurrency=1),
        await attempt(queue.limit, concurrency=0),
        await attempt(queue.limit),
        await attempt(queue.limit, key="k", max_pending=1),
        await attempt(queue.limits),
    ]


async def queue_targets(client: Any) -> list[Any]:
    queue = client.queue("q")
    return [
        await attempt(queue.targets, latency=30, failures=0.5),
        await attempt(queue.targets, latency=None),
        await attempt(queue.targets),
        await attempt(queue.targets, failures=2),
        (await done(queue.stats())).targets.failures == 0.5,
    ]


async def acting(client: Any) -> list[Any]:
    person = client.acting(who="ada", tool="t", where="w")
    handle = await done(person.enqueue(task("a")))
    await done(handle.cancel())
    await done(person.queue("q").pause())
    await done(client.queue("q").resume())
    await attempt(person.queue("q").dead.retry, "q/none")
    entries = await done(client.audit())
    seen = [
        (e.who, e.tool, e.where, e.what, dict(e.selection), e.count, e.outcome, e.detail)
        for e in entries
    ]
    pages = [
        await done(client.audit(newest=False, limit=1)) == entries[-1:],
        await done(client.audit(limit=1, after=entries[0])) == entries[1:2],
        await done(client.audit(after=entries[0].id)) == entries[1:],
    ]
    refused = [
        await attempt(client.acting, who=""),
        await attempt(client.audit, limit=0),
        await attempt(client.audit, after="none"),
    ]
    return [seen, pages, refused]


async def mark(client: Any) -> list[Any]:
    return [
        await attempt(client.mark, "v1", "ada"),
        await attempt(client.acting(who="bob").mark, "v2"),
        await attempt(client.mark, ""),
        await attempt(client.marks),
    ]


async def queue_keep_history(client: Any) -> list[Any]:
    queue = client.queue("q")
    return [await attempt(queue.keep_history, 5), await attempt(queue.keep_history, -1)]


async def queue_history_lines(client: Any) -> list[Any]:
    queue = client.queue("q")
    none = await listed(queue.history_lines())
    await done(queue.keep_history(500))
    for number in range(150):  # more than what is fetched in one call
        await done(client.enqueue(task(f"a{number}")))
    lines = await listed(queue.history_lines())
    some = queue.history_lines()
    first = await done(anext(some) if hasattr(some, "__anext__") else next(some))
    await done(some.aclose() if hasattr(some, "aclose") else some.close())
    return [len(none), len(lines), first == lines[0]]


async def queue_check(client: Any) -> list[Any]:
    await done(client.enqueue(task("a")))
    counts: list[tuple[int, int]] = []

    def progress(checked: int, total: int) -> None:
        counts.append((checked, total))

    found = await attempt(client.queue("q").check, progress=progress)
    return [found, counts]


async def queue_repair_plan(client: Any) -> list[Any]:
    queue = client.queue("q")
    await done(client.enqueue(task("a")))
    elsewhere = rediq.Violation(1, "a", "of another queue", queue="other")
    return [await attempt(queue.repair_plan, []), await attempt(queue.repair_plan, [elsewhere])]


async def queue_repair(client: Any) -> list[Any]:
    queue = client.queue("q")
    target = Target(TargetType.TASK, "a")
    elsewhere = rediq.Repair(Action.SEQ, target, "1", "2", "it is not of this queue", queue="other")
    return [await attempt(queue.repair, []), await attempt(queue.repair, [elsewhere])]


EVERY = Every(3600)


async def schedule_add(client: Any) -> list[Any]:
    schedules = client.schedules()
    return [
        await attempt(schedules.add, "s", EVERY, Task("none", queue="q")),
        await attempt(schedules.add, "a b\n", EVERY, Task("none", queue="q")),
        await attempt(schedules.add, "t", EVERY, Task("none", {"a": 1j}, queue="q")),
    ]


async def scheduled(client: Any) -> Any:
    schedules = client.schedules()
    await done(schedules.add("s", EVERY, Task("none", queue="q")))
    return schedules


async def schedule_list(client: Any) -> list[Any]:
    return [await attempt((await scheduled(client)).list)]


def by_name(method: str) -> Callable[[Any], Awaitable[list[Any]]]:
    async def scenario(client: Any) -> list[Any]:
        schedules = await scheduled(client)
        call = getattr(schedules, method)
        return [
            await attempt(call, "s"),
            await attempt(schedules.list),
            await attempt(call, "none"),
            await attempt(call, "a b\n"),
        ]

    return scenario


async def schedule_trigger(client: Any) -> list[Any]:
    schedules = await scheduled(client)
    handle = await done(schedules.trigger("s"))
    return [handle.created, handle.queue, await attempt(schedules.trigger, "none")]


SCENARIOS: dict[str, Callable[[Any], Awaitable[list[Any]]]] = {
    "Client.enqueue": enqueue,
    "Client.enqueue_many": enqueue_many,
    "Client.task": open_task,
    "Client.workflow": client_workflow,
    "Client.workflows": client_workflows,
    "Client.queue": open_queue,
    "Client.queues": queues,
    "Client.overview": overview,
    "Client.schedules": open_schedules,
    "Client.workers": workers,
    "Client.acting": acting,
    "Client.audit": acting,
    "Client.mark": mark,
    "Client.marks": mark,
    "Client.worker": open_worker,
    "WorkerHandle.info": worker_info,
    "WorkerHandle.quiet": by_order("quiet"),
    "WorkerHandle.work": by_order("work"),
    "WorkerHandle.stop": by_order("stop", grace=0),
    "WorkerHandle.stacks": by_order("stacks"),
    "TaskHandle.info": task_info,
    "TaskHandle.why": task_why,
    "TaskHandle.result": task_result,
    "TaskHandle.wait": task_wait,
    "TaskHandle.progress": task_progress,
    "TaskHandle.cancel": task_cancel,
    "TaskHandle.retry": task_retry,
    "TaskHandle.delete": task_delete,
    "TaskHandle.run_now": task_run_now,
    "TaskHandle.reschedule": task_reschedule,
    "TaskHandle.update": task_update,
    "TaskHandle.enqueue_again": task_enqueue_again,
    "TaskHandle.requeue": task_requeue,
    "WorkflowHandle.info": workflow_info,
    "WorkflowHandle.retry": workflow_retry,
    "WorkflowHandle.states": workflow_states,
    "WorkflowHandle.status": workflow_status,
    "WorkflowHandle.result": workflow_result,
    "WorkflowHandle.wait": workflow_wait,
    "WorkflowHandle.cancel": workflow_cancel,
    "WorkflowHandle.mermaid": workflow_mermaid,
    "WorkflowHandle.svg": workflow_svg,
    "DeadLetters.list": dead_list,
    "DeadLetters.retry": dead_retry,
    "DeadLetters.retry_all": dead_retry_all,
    "DeadLetters.purge": dead_purge,
    "Queue.stats": queue_stats,
    "Queue.series": queue_series,
    "Queue.types": queue_types,
    "Queue.series_bytes": queue_series_bytes,
    "Queue.failures": queue_failures,
    "Queue.groups": queue_groups,
    "Queue.partition": queue_partition,
    "Queue.tasks": queue_tasks,
    "Queue.pause": queue_pause,
    "Queue.resume": queue_resume,
    "Queue.flush": queue_flush,
    "Queue.remove": queue_remove,
    "Queue.limit": queue_limit,
    "Queue.limits": queue_limit,
    "Queue.targets": queue_targets,
    "Queue.keep_history": queue_keep_history,
    "Queue.find": queue_find,
    "Queue.select": queue_select,
    "Queue.import_tasks": queue_import_tasks,
    "Selection.export": selection_export,
    "Selection.count": selection_count,
    "Selection.preview": selection_preview,
    "Selection.retry": selection_retry,
    "Selection.cancel": selection_cancel,
    "Selection.delete": selection_delete,
    "Selection.requeue": selection_requeue,
    "Queue.history_lines": queue_history_lines,
    "Queue.check": queue_check,
    "Queue.repair_plan": queue_repair_plan,
    "Queue.repair": queue_repair,
    "Schedules.add": schedule_add,
    "Schedules.list": schedule_list,
    "Schedules.get": by_name("get"),
    "Schedules.remove": by_name("remove"),
    "Schedules.pause": by_name("pause"),
    "Schedules.resume": by_name("resume"),
    "Schedules.trigger": schedule_trigger,
}
SERVED = {
    "Client.workers", "WorkerHandle.info", "WorkerHandle.quiet", "WorkerHandle.work",
    "WorkerHandle.stop", "WorkerHandle.stacks", "TaskHandle.result", "TaskHandle.wait", "TaskHandle.progress",
    "WorkflowHandle.result", "WorkflowHandle.wait", "DeadLetters.list", "DeadLetters.retry",
    "DeadLetters.retry_all", "DeadLetters.purge",
}  # fmt: skip
"""The methods whose scenario needs a worker of the queue `work`."""


def test_every_public_method_has_a_scenario() -> None:
    methods = {
        f"{name}.{method}"
        for name in other_clients.CLASSES
        for method in vars(getattr(rediq, name))
        if not method.startswith("_")
    }
    assert SCENARIOS.keys() == methods
    assert methods >= SERVED


@pytest.mark.parametrize("method", SCENARIOS)
def test_a_method_returns_and_raises_the_same(method: str, redis_server: Server) -> None:
    found = {}
    for kind, (run, prefix) in KINDS.items():
        options = {"key_prefix": f"clients-{uuid.uuid4().hex[:12]}"}
        served = nullcontext()
        if method in SERVED:
            served = worker(app, redis_server.url, queues=["work"], **options)
        with served:
            answers = run(SCENARIOS[method], redis_server.url, **options)
        found[kind] = plain(answers, prefix)
    assert found["trio"]
    assert found["asyncio"] == found["trio"]
    assert found["blocking"] == found["trio"]


def test_a_scenario_tells_a_wait_that_is_too_short(redis_server: Server) -> None:
    options = {"key_prefix": f"clients-{uuid.uuid4().hex[:12]}"}
    for run, _ in KINDS.values():
        answers = run(workflow_result_of_none, redis_server.url, **options)
        assert [type(answer) for answer in answers] == [trio.TooSlowError]


async def workflow_result_of_none(client: Any) -> list[Any]:
    handle = await done(client.enqueue(rediq.chain(Task("none"), Task("none"))))
    return [await attempt(handle.result, 0.05)]
