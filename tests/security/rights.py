"""The users of docs/security.md, and a path through the whole library for them to walk."""

from __future__ import annotations

import re
from pathlib import Path

import trio

import rediq_trio as rediq
from rediq_trio import Fixed, Rate, State, Task

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"
WITHIN = 30.0
"""Seconds that anything awaited may take on a busy machine."""


def line_of(user: str) -> list[str]:
    """Give the words of a user's `ACL SETUSER` line, as the page has it."""
    (line,) = re.findall(
        rf"^ACL SETUSER {re.escape(user)} (.*)$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    words: list[str] = line.split()
    return words


def rights_of(user: str) -> list[str]:
    """Give the keys, channels and commands that a user is given."""
    return [word for word in line_of(user) if word[0] in "~&+"]


app = rediq.App("rights")
failing = {"flaky": 1}


@app.task("double")
async def double(n: int) -> int:
    return 2 * n


@app.task("flaky", backoff=Fixed(0.01))
async def flaky() -> str:
    if rediq.current_task().attempt == 1:
        raise ValueError("once more")
    return "fine"


@app.task("reject")
async def reject() -> None:
    raise rediq.Reject("no")


@app.task("report")
async def report() -> int:
    task = rediq.current_task()
    task.progress(50, "half")
    task.enqueue_after(double.options(queue="other").task(3))
    if task.attempt == 1 and task.fence == 1:
        await task.once("step", double, 4)
        raise rediq.Snooze(0.01)
    return await task.once("step", double, 4)


@app.task("wait")
async def wait() -> None:
    await trio.sleep_forever()


@app.task("sum")
async def add() -> int:
    return sum((await rediq.current_task().results()).values())


@app.task("batch")
async def batch(numbers: list[int]) -> int:
    return sum(numbers)


@app.aggregator("pairs", max_size=2, grace_period=0.1, max_delay=1)
async def pairs(tasks: list[Task[object]]) -> Task[object] | None:
    return Task("double", {"n": len(tasks)})


app.schedule("often", rediq.Every(1), double.task(5))


async def walk(url: str) -> None:
    """Go through all that a worker, a producer and an operator do."""
    with trio.fail_after(WITHIN * 2):
        async with rediq.connect(url) as client:
            await _arrange(client)
            await _wait_in_line(client)
            queues = ["default", "other", "spread"]
            async with rediq.serve(
                app, url, queues=queues, progress_interval=0.01, lease=1
            ) as server:
                await _run(server.client)
                await _graph(server.client)
                await _stop(server.client)
                await _schedules(server.client)
            await _record(client)
            await operate(client)
            await _clean(client)


async def _arrange(client: rediq.Client) -> None:
    await client.queue("spread").partition(2)
    queue = client.queue("default")
    await queue.limit(concurrency=100, rate=Rate(1000, 1), max_pending=1000, fair_by="limit_key")
    await queue.limit(key="*", concurrency=2, rate=Rate(1000, 1))
    await queue.targets(latency=30, failures=0.5)
    person = client.acting(who="ada")
    await person.mark("a pause")
    await person.queue("default").pause()
    await queue.resume()


async def _wait_in_line(client: rediq.Client) -> None:
    """Fill the indexes of what waits, and empty them again."""
    queue = client.queue("idle")
    first = await client.enqueue(Task("double", {"n": 1}, queue="idle", delay=1000))
    await client.enqueue(Task("double", {"n": 2}, queue="idle", depends_on=[first.id]))
    await client.enqueue(Task("double", {"n": 1}, queue="idle", group="alone"))
    await client.enqueue(Task("double", {"n": 1}, queue="idle", limit_key="k", expires=1000))
    unique = rediq.Unique(key="one", ttl=1000, on_conflict="replace")
    for n in range(2):
        await client.enqueue(Task("double", {"n": n}, queue="idle", unique=unique))
    await client.enqueue(Task("double", {"n": 1}, queue="idle", priority=3))
    for state in State:
        assert isinstance(await queue.tasks(state), list)
        assert isinstance(await queue.tasks(state, newest=True), list)
    (one, *_) = await queue.tasks("pending", limit=1)
    await queue.tasks("pending", after=one.id)
    await first.cancel()
    await first.retry()
    assert await queue.check() == []
    assert await queue.flush() == 6


async def _run(client: rediq.Client) -> None:
    handles = await client.enqueue_many(
        [
            double.task(1),
            flaky.task(),
            report.task(),
            double.options(delay=0.05).task(2),
            double.options(limit_key="k").task(3),
            double.options(limit_key="k").task(4),
            double.options(queue="spread").task(5),
            double.options(expires=600).task(6),
            double.options(unique=rediq.Unique(ttl=60)).task(7),
        ]
    )
    assert [await handle.result(timeout=WITHIN) for handle in handles] == [
        2, "fine", 8, 4, 6, 8, 10, 12, 14,
    ]  # fmt: skip
    async for progress in handles[2].progress():
        assert progress.percent == 50
    late = await client.enqueue(double.options(expires=0.001, delay=0.01).task(1))
    assert (await late.wait(timeout=WITHIN)).error
    dead = await client.enqueue(reject.task())
    info = await dead.wait(timeout=WITHIN)
    assert info.state is State.DEAD
    queue = client.queue("default")
    assert dead.id in [one.id for one in await queue.dead.list()]
    assert await queue.dead.retry(dead.id)
    await dead.wait(timeout=WITHIN)
    await queue.dead.retry_all()
    await dead.wait(timeout=WITHIN)
    with trio.fail_after(WITHIN):
        while (await queue.stats()).active or (await queue.stats()).pending:
            await trio.sleep(0.01)
    await queue.dead.purge()


async def _graph(client: rediq.Client) -> None:
    first = await client.enqueue(double.task(1))
    other = await client.enqueue(double.options(queue="other").task(2))
    both = await client.enqueue(add.options(depends_on=[first.id, other.id]).task())
    assert await both.result(timeout=WITHIN) == 6
    workflow = await client.enqueue(rediq.gather(double.task(1), double.task(2), then=add.task()))
    assert await workflow.result(timeout=WITHIN) == 6
    await workflow.info()
    members = [batch.options(group="pairs").task(n) for n in ([1], [2])]  # type: ignore[list-item]
    await client.enqueue_many(members)
    await client.enqueue(batch.options(group="pairs").task([3]))
    queue = client.queue("default")
    with trio.fail_after(WITHIN):
        while (await queue.stats()).grouped:
            await trio.sleep(0.01)


async def _stop(client: rediq.Client) -> None:
    handle = await client.enqueue(wait.task())
    with trio.fail_after(WITHIN):
        while (await handle.info()).state is not State.ACTIVE:
            await trio.sleep(0.01)
        assert await client.workers()
        await _give_orders(client)
        await handle.cancel()
        assert (await handle.wait()).state is State.CANCELLED
        assert await handle.delete()


async def _give_orders(client: rediq.Client) -> None:
    (info,) = await client.workers()
    worker = client.worker(info.id)
    await worker.quiet()
    assert await worker.stacks()
    await worker.work()


async def _schedules(client: rediq.Client) -> None:
    schedules = client.schedules()
    await schedules.add("hourly", rediq.Every(3600), double.options(queue="other").task(1))
    await schedules.add("hourly", rediq.Every(1800), double.options(queue="other").task(1))
    await schedules.pause("hourly")
    await schedules.resume("hourly")
    assert await (await schedules.trigger("hourly")).result(timeout=WITHIN) == 2
    await schedules.remove("hourly")
    with trio.fail_after(WITHIN):
        while (await schedules.get("often")).last_task_id is None:
            await trio.sleep(0.05)


async def operate(client: rediq.Client) -> None:
    """Look at everything, and change nothing."""
    for name in await client.queues():
        queue = client.queue(name)
        assert await queue.check() == []
        await queue.stats()
        await queue.limits()
        assert [line async for line in queue.history_lines()]
        for kind in await queue.failures():
            await queue.dead.list(kind=kind.kind)
        for state in State:
            for task in await queue.tasks(state):
                await client.task(task.id).info()
    await client.overview()
    assert [each.what for each in await client.audit()][-1] == "Client.mark"
    assert [mark.text for mark in await client.marks()] == ["a pause"]
    for info in await client.schedules().list():
        await client.schedules().get(info.name)
    await client.workers()


async def _record(client: rediq.Client) -> None:
    queue = client.queue("recorded")
    await queue.keep_history(10)
    await client.enqueue(double.options(queue="recorded", delay=3600).task(1))
    assert len([line async for line in queue.history_lines()]) > 1
    await queue.keep_history(1)


async def _clean(client: rediq.Client) -> None:
    for name in await client.queues():
        await client.queue(name).flush()
    await client.queue("spread").partition(1)
