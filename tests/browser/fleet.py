"""A fleet to look at: tasks in every state, each field of theirs as hostile as it can be.

`python -m tests.browser.fleet URL PREFIX` runs its worker until it is ended.
"""

from __future__ import annotations

import sys

import trio

import rediq_trio as rediq
from rediq_trio import Task, Workflow

HOSTILE = (
    "<script>window.owned=1</script><b id=owned>x</b></textarea><img src=x onerror='window.owned=1'>"
    "\" onclick=\"window.owned=1\" javascript:alert(1) {{7*7}} ${7*7} {% raw %} "
    "\x1b[31m \x00 \u202egnp.exe 😀 ' or 1=1--"
)  # fmt: skip
ODD_TYPE = "<b id=owned>odd</b>"
LABEL = "<i id=owned>{{7*7}} javascript:x 'onclick=1"
"""For fields of at most 128 bytes."""
app = rediq.App()


@app.task("good", queue="emails")
async def good(**_: object) -> str:
    return HOSTILE


@app.task("bad", queue="emails", max_retry=0)
async def bad(**_: object) -> None:
    raise ValueError(HOSTILE)


@app.task("again", queue="emails", max_retry=3, backoff=rediq.Fixed(3600))
async def again(**_: object) -> None:
    raise ConnectionError(HOSTILE)


@app.task(ODD_TYPE, queue="emails")
async def odd(**_: object) -> None: ...


@app.task("slow", queue="images", timeout=3600)
async def slow(**_: object) -> None:
    rediq.current_task().progress(40, HOSTILE)
    await trio.sleep_forever()


async def fill(client: rediq.Client) -> None:
    """Enqueue the tasks; some end once a worker runs."""
    payload = {"text": HOSTILE, HOSTILE: [HOSTILE, 2**63, b"\x00\xff", None, {"deep": {"er": 1}}]}
    metadata = {LABEL: HOSTILE}
    emails = client.queue("emails")
    await emails.keep_history(1000)
    await emails.limit(key=LABEL, concurrency=2)
    await client.enqueue_many([good.task(**payload) for _ in range(4)])
    for number in range(3):
        await client.enqueue(
            bad.options(metadata=metadata, limit_key=LABEL).task(number=number, **payload)
        )
    await client.enqueue(again.options(unique=rediq.Unique(key=LABEL)).task(**payload))
    await client.enqueue(odd.task(**payload))
    await client.enqueue(slow.options(metadata=metadata).task(**payload))
    await client.enqueue(good.options(delay=7200).task(**payload))
    await client.enqueue(good.options(group="<b>group", queue="search").task(**payload))
    cancelled = await client.enqueue(good.options(delay=7200).task())
    await cancelled.cancel()
    imports = client.queue("imports")
    await imports.pause(HOSTILE[:200], by="ada")
    for _ in range(3):
        await client.enqueue(good.options(queue="imports").task(**payload))
    flow = Workflow(HOSTILE.replace("\x1b", "").replace("\x00", "").replace("\u202e", "")[:200])
    first = flow.add(good.task(), "<script>window.owned=1</script>")
    dead = flow.add(bad.task(), "</text></svg><b id=owned>", after=first)
    flow.add(good.task(), "publish", after=dead)
    await client.enqueue(flow)
    waiting = Workflow("waiting")
    one = waiting.add(good.options(delay=7200).task(), "later")
    waiting.add(good.task(), "after it", after=one)
    await client.enqueue(waiting)
    schedules = client.schedules()
    await schedules.add("hourly", rediq.Every(3600), Task(ODD_TYPE, payload, queue="emails"))
    await schedules.add("nightly", rediq.Cron("0 2 * * *", "Europe/Paris"), good.task(**payload))
    await schedules.add("broken", rediq.Every(86_400), bad.task(**payload))
    await schedules.pause("nightly")
    await schedules.trigger("broken")
    await client.mark(HOSTILE.replace("\x00", "")[:200], by=LABEL)


async def run(url: str, prefix: str) -> None:
    """Run a worker until the process is ended."""
    async with rediq.serve(
        app,
        url,
        key_prefix=prefix,
        queues=["emails", "images"],
        name="w-1",
        labels={"zone": "<b>a"},
    ) as server:
        await server.wait_stopped()


if __name__ == "__main__":
    trio.run(run, *sys.argv[1:])
