"""The story of `rediq demo --web`: a shop's tasks that fail, retry, wait, are limited and chained.

Long enough to see each state within a minute, and nothing that leaves this machine.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import trio

import rediq_trio as rediq

STORY_QUEUES = ("emails", "billing", "images", "crawl", "nightly")
"""The queues of the story. "reports" is left without a worker."""
STEP_EVERY = 0.5
"""Seconds between two steps of the story."""
DEPLOYED_EVERY = 2400
"""Steps after which a new version is deployed: a mark in the charts, of which an hour is shown."""


class PaymentDeclined(Exception):
    """A bank's answer."""


class Story:
    """The app of the story, and what enqueues its tasks."""

    def __init__(self) -> None:
        self.app = app = rediq.App()
        backoff = rediq.Exponential(first=5, cap=60)
        self._send = app.task("email:send", queue="emails", max_retry=4, backoff=backoff)(_send)
        self._charge = app.task(
            "billing:charge", queue="billing", max_retry=1, backoff=rediq.Fixed(10)
        )(_charge)
        self._crawl = app.task("crawl:page", queue="crawl", max_retry=2)(_crawl)
        self._resize = app.task("image:resize", queue="images", timeout=120)(_resize)
        self._publish = app.task("image:publish", queue="images", max_retry=0)(_publish)
        self._report = app.task("report:make", queue="reports")(_report)
        nightly = app.task("report:nightly", queue="nightly", max_retry=0)(_nightly)
        app.schedule("nightly-report", rediq.Every(60), nightly.task())

    async def tell(self, client: rediq.Client) -> None:
        """Enqueue what the story needs, until cancelled."""
        await client.queue("billing").targets(latency=5, failures=0.05)
        await client.queue("crawl").limit(key="host-0.example.com", concurrency=1)
        await client.enqueue_many([self._report.task(day=f"day {day}") for day in range(1, 9)])
        number = 0
        while True:
            if number % DEPLOYED_EVERY == 0:
                await client.mark(f"1.4.{number // DEPLOYED_EVERY}")
            number += 1
            with suppress(rediq.QueueFull, rediq.ConnectionLost):
                await client.enqueue_many(self._step(number))
                if number % 40 == 1:
                    await client.enqueue(self._poster(number))
            await trio.sleep(STEP_EVERY)

    def _step(self, number: int) -> list[rediq.Task[Any]]:
        tasks: list[rediq.Task[Any]] = [
            self._send.task(to=f"user{number}@example.com"),
            self._charge.task(account=number % 97, amount=40),
        ]
        if number % 2 == 0:
            host = f"host-{number % 3}.example.com"
            tasks.append(self._crawl.options(limit_key=host).task(url=f"https://{host}/{number}"))
        if number % 12 == 0:
            tasks.append(self._resize.task(name=f"photo-{number}.jpg"))
        if number % 10 == 0:
            tasks.append(self._send.options(delay=90).task(to=f"later{number}@example.com"))
        return tasks

    def _poster(self, number: int) -> rediq.Workflow[Any]:
        name = f"poster-{number}.jpg"
        press = self._send.task(to="press@example.com")
        return rediq.chain(self._resize.task(name=name), self._publish.task(name=name), press)


async def _send(to: str) -> str:
    await trio.sleep(random.uniform(0.05, 0.6))
    if random.random() < 0.08:
        raise ConnectionError(f"smtp-{random.randint(1, 3)}.example.com refused the message")
    return f"sent to {to}"


async def _charge(account: int, amount: int) -> int:
    await trio.sleep(random.uniform(0.1, 0.8))
    if random.random() < 0.1:
        raise PaymentDeclined(f"the card of account {account} was declined")
    return amount


async def _crawl(url: str) -> int:
    await trio.sleep(random.uniform(0.5, 2))
    return len(url)


async def _resize(name: str) -> str:
    task, parts = rediq.current_task(), random.randint(5, 40)
    for part in range(parts):
        task.progress(100 * part / parts, f"part {part} of {parts}")
        await trio.sleep(0.5)
    return name


async def _publish(name: str) -> str:
    await trio.sleep(0.3)
    if random.random() < 0.3:
        raise ValueError(f"{name} has no licence")
    return name


async def _report(day: str) -> str:
    return day


async def _nightly() -> None:
    await trio.sleep(1)
    if random.random() < 0.3:
        raise TimeoutError("the warehouse did not answer")
