"""What the processes of several versions do together: an app, a producer, a look at the whole.

Only what every version since the first layout has is used here.

    python blend.py produce URL WHO
    python blend.py check URL
    python blend.py pause|resume URL QUEUE
    python blend.py flow URL WHO
    python blend.py run URL QUEUE ID...
    python blend.py show URL ID...
    python blend.py scripts
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq

HOMES = ("rediq_trio.store.redis.scripts", "rediq_trio.store.scripts")
"""The modules that load the scripts: in this version, and in the first."""
QUEUES = ("left", "right")
PLAIN = 40
MEMBERS = 6
CHILDREN = 2

app = rediq.App("blend")


def note(word: str, what: str = "") -> None:
    """Append a line to the log that all processes share; O_APPEND keeps lines whole."""
    task = rediq.current_task()
    line = f"{word} {what or task.id} {task.fence} {os.getpid()}\n"
    with Path(os.environ["LABOR_LOG"]).open("a", encoding="utf-8") as log:
        log.write(line)


@app.task("plain")
async def plain() -> str:
    await trio.sleep(0.02)
    note("end")
    return "done"


@app.task("flaky", backoff=rediq.Fixed(0.1))
async def flaky() -> None:
    if rediq.current_task().attempt == 1:
        raise ValueError("the first time")
    note("end")


@app.task("sleepy")
async def sleepy() -> None:
    if rediq.current_task().fence == 1:
        raise rediq.Snooze(0.1)
    note("end")


@app.task("doomed")
async def doomed() -> None:
    raise rediq.Reject("for good")


@app.task("parent")
async def parent() -> int:
    task = rediq.current_task()

    def step() -> int:
        note("step")
        return task.fence

    task.progress(50)
    found = await task.once("step", step)
    for queue in QUEUES[:CHILDREN]:
        task.enqueue_after(rediq.Task("child", {"of": task.id}, queue=queue))
    note("end")
    return found


@app.task("child")
async def child(of: str) -> None:
    note("child", of)


@app.task("adder")
async def adder() -> int:
    results = await rediq.current_task().results()
    note("end")
    return len([value for value in results.values() if value is not None])


@app.aggregator("*", max_size=MEMBERS, grace_period=0.5)
async def heap(tasks: list[rediq.Task[Any]]) -> None:
    for task in tasks:
        note("member", str(task.id))


@app.task("pulse")
async def pulse() -> None:
    note("pulse", rediq.current_task().metadata["rediq.tick"])


app.schedule("pulse", rediq.Every(0.5), rediq.Task("pulse", {}, queue="left"))


def ends(who: str) -> dict[str, rediq.State]:
    """Give where each task of a producer ends, by its id."""
    done = [f"left/{who}-plain{n}" for n in range(PLAIN)]
    done += [
        f"left/{who}-{word}" for word in ("later", "flaky", "sleepy", "parent", "unique", "keyed0")
    ]
    done += [f"left/{who}-{word}" for word in ("keyed1", "source", "runs", "w0", "w2")]
    done += [f"right/{who}-{word}" for word in ("adder", "w1")]
    found = dict.fromkeys(done, rediq.State.COMPLETED)
    found |= dict.fromkeys((f"left/{who}-doomed", f"right/{who}-dies"), rediq.State.DEAD)
    return found | {f"left/{who}-unwanted": rediq.State.CANCELLED}


async def produce(client: rediq.Client, who: str) -> None:
    """Enqueue a task of each kind."""

    def task(kind: str, own: str, queue: str = "left", **options: Any) -> rediq.Task[Any]:
        backoff = rediq.Fixed(0.1)
        return rediq.Task(kind, {}, id=f"{who}-{own}", queue=queue, backoff=backoff, **options)

    await client.enqueue_many([task("plain", f"plain{n}") for n in range(PLAIN)])
    await client.enqueue_many(
        [task("plain", f"m{n}", group=f"group-{who}") for n in range(MEMBERS)]
    )
    await client.enqueue(task("plain", "source", delay=0.3))
    await client.enqueue(task("doomed", "doomed", delay=0.3))
    for one in (
        task("plain", "later", delay=0.2),
        task("flaky", "flaky"),
        task("sleepy", "sleepy", priority=10),
        task("parent", "parent"),
        task("plain", "unique", unique=rediq.Unique(key=who)),
        task("plain", "keyed0", limit_key="k"),
        task("plain", "keyed1", limit_key="k"),
        task("adder", "adder", "right", depends_on=f"left/{who}-source"),
        task("plain", "dies", "right", depends_on=f"left/{who}-doomed"),
        task("plain", "runs", depends_on=f"left/{who}-doomed", on_dependency_failure="run"),
    ):
        await client.enqueue(one)
    flow: rediq.Workflow[Any] = rediq.Workflow()
    first = flow.add(task("plain", "w0"), "w0")
    second = flow.add(task("plain", "w1", "right"), "w1", after=first)
    flow.add(task("adder", "w2"), "w2", after=(first, second))
    await client.enqueue(flow)
    unwanted = await client.enqueue(task("plain", "unwanted", delay=600))
    await unwanted.cancel()


def load_scripts() -> Any:
    """Load the scripts of whichever version this process runs."""
    for home in HOMES:
        try:
            return importlib.import_module(home).load_scripts()
        except ModuleNotFoundError:
            continue
    raise AssertionError(f"no module of {HOMES} is there")


def encryption() -> rediq.Encryption | None:
    """Return the encryption of this test, if it has one."""
    key = os.environ.get("LABOR_KEY")
    return rediq.Encryption([key]) if key else None


async def run(url: str, queue: str, ids: list[str]) -> None:
    """Serve a queue until tasks are dead."""
    async with rediq.serve(app, url, queues=[queue], encryption=encryption()) as server:
        for task_id in ids:
            with trio.fail_after(60):
                while (await server.client.task(task_id).info()).state is not rediq.State.DEAD:
                    await trio.sleep(0.05)


async def show(url: str, ids: list[str]) -> None:
    """Print the error and the metadata of tasks."""
    async with rediq.connect(url, encryption=encryption()) as client:
        for task_id in ids:
            info = await client.task(task_id).info()
            print(json.dumps([info.error, dict(info.metadata)]))


async def main(word: str, url: str = "", who: str = "", *more: str) -> None:
    if word == "where":
        print(rediq.__file__, end="")
        return
    if word == "scripts":
        print(json.dumps({name: script.sha for name, script in load_scripts().items()}))
        return
    if word == "run":
        await run(url, who, list(more))
        return
    if word == "show":
        await show(url, [who, *more])
        return
    async with rediq.connect(url) as client:
        if word in ("pause", "resume"):
            await getattr(client.queue(who), word)()
        elif word == "flow":
            flow: rediq.Workflow[Any] = rediq.Workflow()
            flow.add(rediq.Task("plain", {}, id=f"{who}-flow", queue="left", delay=600), "a")
            await client.enqueue(flow)
        elif word == "workers":
            found = await client.workers()
            print(json.dumps({one.id: [one.pid, *one.queues] for one in found}))
        elif word == "produce":
            await client.queue("left").limit(key="k", concurrency=1)
            await produce(client, who)
        else:
            for queue in QUEUES:
                for violation in await client.queue(queue).check():
                    print(violation)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
