"""What the web page costs: its first byte, what ten browsers ask of Redis, and the memory of its process.

`rediq web` runs as its users run it, and browsers without a window ask it over HTTP.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import attrs
import httpx
import trio

import rediq_trio as rediq
from benchmarks.operate.filling import DEAD, MANY_DEAD, bury, queue_up, spread
from benchmarks.operate.rows import RUNS, Row
from benchmarks.peers.looking import cpu, resident
from benchmarks.processes import running
from benchmarks.scaling.stage import Stage, number
from rediq_trio.web.site.templating import static_file

PATIENCE = 60.0
"""Seconds that an answer may take."""
FORGOTTEN = 4.0
"""Seconds after which the page must read anew what it has shown."""
MANY_PENDING = 1_000_000
QUEUES, BROWSERS = 50, 10
LOOKED_AT = 20.0
"""Seconds for which browsers look."""
AFTER_LAST, WATCHED = 5.0, 5.0
"""Seconds after the last browser has left, and for which Redis is watched from then on."""
REQUESTS_FEW, REQUESTS_MANY = 2_000, 10_000
ASKED_AT_ONCE = 4
BEFORE_STOP = 0.3
"""Seconds for which a change is under way until it is stopped."""
ASKED = f"/queues/{DEAD}/dead/retry?all=match"
VISITED = ("/", "/queues", "/queues/many0", "/queues/many0/pending", "/failures", "/dead", "/workers",
           "/schedules", "/workflows", "/check", "/audit", "/help", "/find?q=nothing")  # fmt: skip
PART_ASKED = {"X-Rediq-Part": "main"}
FROM_PAGE = {"Sec-Fetch-Site": "same-origin"}


@attrs.frozen
class Served:
    """A page that is served, and a browser."""

    browser: httpx.AsyncClient
    pid: int


@asynccontextmanager
async def served(stage: Stage) -> AsyncGenerator[Served]:
    """Serve the page of the stage's server while the block lasts."""
    command = [sys.executable, "-m", "rediq_trio", "web", "--url", stage.bench.url, "--port", "0", "--write"]
    with running(command, _end, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        line = await trio.to_thread.run_sync(child.stderr.readline)
        found = re.search(r"http://[^\s/]+", line)
        if found is None:
            raise SystemExit(f"the page was not served: {line + child.stderr.read()}")
        limits = httpx.Limits(max_connections=None)
        options = {"headers": FROM_PAGE, "timeout": PATIENCE, "limits": limits}
        async with httpx.AsyncClient(base_url=found[0], **options) as browser:
            yield Served(browser, child.pid)


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    child.wait(PATIENCE)
    if child.stderr is not None:
        child.stderr.close()


async def first_byte(stage: Stage) -> list[Row]:
    """Measure the page of the newest dead, and that of a queue with many pending tasks."""
    dead, pending = stage.some(MANY_DEAD), stage.some(MANY_PENDING)
    await bury(stage, dead)
    async with served(stage) as page:
        of_dead = await _medians(stage, page, f"/queues/{DEAD}/dead")
    stage.empty()
    await queue_up(stage, "large", pending)
    async with served(stage) as page:
        of_pending = await _medians(stage, page, "/queues/large")
    what = f"page of a queue with {pending:,} pending"
    return [
        Row(f"page of the newest of {dead:,} dead, first byte", of_dead[0], "ms", 150,
            note=f"longest call in Redis {number(of_dead[1])} ms"),
        Row(f"{what}, first byte", of_pending[0], "ms", 200),
        Row(f"{what}, longest call in Redis", of_pending[1], "ms", 1),
    ]  # fmt: skip


async def _medians(stage: Stage, page: Served, path: str) -> tuple[float, float]:
    """Return the milliseconds until the first byte, and those of the longest call in Redis."""
    raw = stage.bench.raw
    raw.config_set("slowlog-log-slower-than", 0)  # all is noted, however short
    waited: list[float] = []
    longest: list[float] = []
    for run in range(RUNS + 1):
        await trio.sleep(FORGOTTEN)
        raw.slowlog_reset()
        begin = time.perf_counter()
        async with page.browser.stream("GET", path) as answer:
            took = (time.perf_counter() - begin) * 1000
            _check(answer)
            await answer.aread()
        noted = [one["duration"] for one in raw.slowlog_get(1000) if b"SLOWLOG" not in one["command"]]
        if run:  # the first one compiles templates
            waited.append(took)
            longest.append(max(noted, default=0) / 1000)
    return statistics.median(waited), statistics.median(longest)


def _check(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        raise SystemExit(f"{answer.request.url} answered {answer.status_code}")


async def looking(stage: Stage) -> list[Row]:
    """Measure what browsers that look ask of Redis, how soon they see a change, and what is asked after them."""
    await spread(stage, QUEUES)
    async with served(stage) as page:
        seconds = LOOKED_AT / (4 if stage.quick else 1)
        async with trio.open_nursery() as nursery:
            for _ in range(BROWSERS):
                await nursery.start(_look, page.browser)
            await trio.sleep(2)  # until each has its first view
            used, own, begin = stage.bench.cpu(), cpu([page.pid]), time.perf_counter()
            await trio.sleep(seconds)
            took = time.perf_counter() - begin
            used, own = stage.bench.cpu() - used, cpu([page.pid]) - own
            seen = [await _seen(stage, page) for _ in range(RUNS)]
            nursery.cancel_scope.cancel()
        await trio.sleep(AFTER_LAST)
        stage.bench.raw.config_resetstat()
        await trio.sleep(WATCHED)
        calls = _calls(stage)
    what = f"{QUEUES} queues, {BROWSERS} browsers that look"
    return [
        Row(f"{what}: of a Redis core", 100 * used / took, "%", 0.5,
            note=f"the page's process {100 * own / took:.0f} %"),
        Row(f"{what}: until a change is seen", statistics.median(seen), "s", 1),
        Row(f"calls from {AFTER_LAST:g} s after the last has left", calls, "", 0),
    ]  # fmt: skip


async def _look(
    browser: httpx.AsyncClient, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Look as the script does: ask for what changes of the page at each tick."""
    async with _ticks(browser) as ticks:
        task_status.started()
        async for _ in ticks:
            _check(await browser.get("/", headers=PART_ASKED))


@asynccontextmanager
async def _ticks(browser: httpx.AsyncClient) -> AsyncGenerator[trio.MemoryReceiveChannel[None]]:
    """Open the stream of events for the block; yield its ticks, one at most waiting to be looked at.

    The lines are read by a task of their own, which is cancelled where it reads: the generators of
    httpx, left between two lines, would be ended by the garbage collector, which Trio warns of.
    """
    send, ticks = trio.open_memory_channel[None](1)

    async def read() -> None:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                with suppress(trio.WouldBlock):
                    send.send_nowait(None)

    async with browser.stream("GET", "/live") as stream, trio.open_nursery() as nursery:
        _check(stream)
        nursery.start_soon(read)
        yield ticks
        nursery.cancel_scope.cancel()


async def _seen(stage: Stage, page: Served) -> float:
    """Return the seconds from an enqueue until a browser has what it changed."""
    name = f"seen{time.monotonic_ns()}"
    begun, seconds = trio.Event(), 0.0

    async def look() -> None:
        nonlocal seconds
        async with _ticks(page.browser) as ticks:
            async for _ in ticks:
                begun.set()
                answer = await page.browser.get("/queues", headers=PART_ASKED)
                if name in answer.text:
                    seconds = time.perf_counter() - begin
                    nursery.cancel_scope.cancel()

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await begun.wait()
        await trio.sleep(random.random())  # at any instant between two views
        begin = time.perf_counter()
        await queue_up(stage, name, 1)
    return seconds


def _calls(stage: Stage) -> int:
    """Return how many commands were called since the statistics were reset, without those of the bench."""
    stats = stage.bench.info("commandstats")
    ours = ("cmdstat_info", "cmdstat_config")
    return sum(int(said["calls"]) for name, said in stats.items() if not name.startswith(ours))  # type: ignore[index]


async def retried(stage: Stage) -> list[Row]:
    """Measure a change of many tasks from the page: how long it takes, and how soon it stops."""
    many = stage.some(MANY_DEAD)
    await bury(stage, many)
    async with served(stage) as page:
        used, own, begin = stage.bench.cpu(), cpu([page.pid]), time.perf_counter()
        work = await _begun(page)
        while f"{work}/stop" in (await page.browser.get(work)).text:
            await trio.sleep(0.2)
        took = time.perf_counter() - begin
        used, own = stage.bench.cpu() - used, cpu([page.pid]) - own
        if stayed := await _dead(stage):
            raise SystemExit(f"{stayed:,} of {many:,} tasks stayed dead")
        await bury(stage, many)
        stops: list[float] = []
        while len(stops) < RUNS and await _dead(stage):
            stops.append(await _stopped(page))
    return [
        Row(f"retry {many:,} dead by a filter from the page", took, "s", 20,
            note=f"CPU of the page {number(own)} s, of Redis {number(used)} s"),
        Row("retry from the page, until it has stopped", statistics.median(stops), "s", 1),
    ]  # fmt: skip


async def _dead(stage: Stage) -> int:
    async with rediq.connect(stage.bench.url) as client:
        return (await client.queue(DEAD).stats()).dead


async def _begun(page: Served) -> str:
    """Ask for a retry of all dead, answer with yes, and return the path of the work."""
    question = await page.browser.get(ASKED)
    _check(question)
    found = re.search(r'name="token" value="([^"]+)"', question.text)
    if found is None:
        raise SystemExit(f"{ASKED} asks nothing")
    answer = await page.browser.post(ASKED, data={"token": found[1], "name": DEAD})
    path = answer.headers.get("location", "")
    if answer.status_code != 303:
        raise SystemExit(f"the retry was answered with {answer.status_code}")
    return str(path)


async def _stopped(page: Served) -> float:
    """Begin a retry, stop it, and return the seconds until it has stopped."""
    work = await _begun(page)
    await trio.sleep(BEFORE_STOP)
    begin = time.perf_counter()
    await page.browser.post(f"{work}/stop")
    return time.perf_counter() - begin


async def memory(stage: Stage) -> list[Row]:
    """Measure the memory of the page's process after few requests, and after many at full speed."""
    await spread(stage, QUEUES)
    few, many = stage.some(REQUESTS_FEW), stage.some(REQUESTS_MANY)
    async with served(stage) as page:
        begin = time.perf_counter()
        await _visit(stage, page, range(few))
        after_few = resident([page.pid])
        await _visit(stage, page, range(few, many))
        took, after_many = time.perf_counter() - begin, resident([page.pid])
    return [
        Row(f"memory of the page after {many:,} requests", after_many, "MB", 120,
            note=f"{many / took:.0f} a second"),
        Row(f"what it grew by after {few:,}", max(0.0, after_many - after_few), "MB", 3),
        *(Row(f"bytes of {name}", len(static_file(name)) / 1024, "KB", most)
          for name, most in (("look.js", 20), ("look.css", 25))),
    ]  # fmt: skip


async def _visit(stage: Stage, page: Served, numbers: Sequence[int]) -> None:
    left = iter(numbers)

    async def click() -> None:
        for at in left:
            _check(await page.browser.get(VISITED[at % len(VISITED)]))
            if at % 100 == 0:
                stage.say(f"{at:,} requests")

    async with trio.open_nursery() as nursery:
        for _ in range(ASKED_AT_ONCE):
            nursery.start_soon(click)
