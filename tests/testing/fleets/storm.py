"""The scenario of our own worker: handlers and clients of every kind, and every fault."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import trio

import rediq_trio as rediq
from rediq_trio.spec import change
from rediq_trio.spec.lifecycle import State, Transition, advance
from rediq_trio.testing import sometimes
from rediq_trio.testing.fleets.plan import ClientAction, Work
from rediq_trio.testing.fleets.scenario import Faults, Scenario

SECONDS = 100.0
"""How long a storm lasts."""
WORKS = 40
OPTIONS = {"timeout": 60, "max_crashes": 20, "max_retry": 5}
KINDS = (
    "quick", "slow", "long", "flaky", "snooze", "parent", "progress", "plain", "cancelled",
    "grouped", "kept", "expiring", "retried", "rescheduled", "updated", "requeued", "deleted",
)  # fmt: skip
"""Kinds of work; `slow` and `long` outlast the outages that others do not."""
CALM = 5
"""Of so many plans, one flushes and pauses the queue, which hides much else."""
SETTINGS = {
    "lease": 30.0, "concurrency": 4, "prefetch": 1, "shutdown_grace": 10.0, "cleanup_grace": 2.0,
    "queues": ("default", "other"),
}  # fmt: skip


def make() -> rediq.App:
    """Return a new app, whose handlers remember nothing of another run."""
    app = rediq.App("storm")

    @app.task("sleep")
    async def sleep(seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    @app.task("plain")
    def plain() -> str:
        return "plain"

    @app.task("flaky", backoff=rediq.Exponential(first=1, cap=5))
    async def flaky(seconds: float, fails: int) -> str:
        await trio.sleep(seconds)
        if rediq.current_task().attempt <= fails:
            raise ValueError("not yet")
        return "at last"

    @app.task("snooze")
    async def snooze(seconds: float) -> str:
        if rediq.current_task().fence == 1:
            raise rediq.Snooze(2 + seconds)
        return "awake"

    @app.task("parent")
    async def parent(seconds: float) -> int:
        task = rediq.current_task()
        number = await task.once("number", lambda: 7)
        await trio.sleep(seconds)
        child = task.enqueue_after(sleep.task(0.1))
        task.enqueue_after(sleep.options(depends_on=child).task(0.1))
        return number

    @app.task("progress")
    async def progress(seconds: float) -> None:
        for n in range(5):
            rediq.current_task().progress(n * 20, f"step {n}")
            await trio.sleep(seconds / 5)
        rediq.current_task().progress(100)

    @app.aggregator("many", max_size=3, grace_period=1, max_delay=5)
    async def batch(tasks: list[rediq.Task[Any]]) -> rediq.Task[str]:
        return sleep.task(max(task.payload["seconds"] for task in tasks))

    return app


def draw_work(random: Random) -> list[Work]:
    """Return works of a few kinds."""
    kinds = random.sample(KINDS, random.choice([1, 2, 3, 5, len(KINDS)]))
    works = [_work(random, random.choice(kinds)) for _ in range(WORKS)]
    if random.randrange(CALM):
        return works
    flush = ClientAction("flush", round(random.random(), 3))
    pause, resume = ClientAction("pause"), ClientAction("resume", round(20 * random.random(), 3))
    at = round(random.uniform(10, SECONDS * 0.6), 3)
    return [
        *works,
        Work("plain", {}, OPTIONS, at=at, actions=[flush]),
        Work("plain", {}, OPTIONS, at=at / 2, actions=[pause, resume]),
    ]


def _work(random: Random, kind: str) -> Work:
    at, client = round(random.uniform(0, SECONDS * 0.7), 3), random.randrange(2)
    seconds = round(random.choice([0.05, 1.0, 5.0, 15.0]) * random.random(), 3)
    if kind in ("slow", "long"):
        seconds = 40.0 if kind == "slow" else 55.0
    if kind == "cancelled":
        seconds = round(2 + seconds, 3)
    type_name = kind if kind in ("flaky", "snooze", "parent", "progress", "plain") else "sleep"
    arguments: dict[str, object] = {} if kind == "plain" else {"seconds": seconds}
    if kind == "flaky":
        arguments["fails"] = random.randint(1, 3)
    if kind == "retried":
        type_name, arguments["fails"] = "flaky", 1
    soon = round(seconds * random.random(), 3)
    options = {**OPTIONS, **_OPTIONS_OF.get(kind, {})}
    actions = [
        ClientAction(name, soon if after is None else after, how)
        for name, after, how in _ACTIONS_OF.get(kind, ())
    ]
    return Work(type_name, arguments, options, at=at, client=client, actions=actions)


_OPTIONS_OF: Mapping[str, Mapping[str, object]] = {
    "grouped": {"group": "many"},
    "kept": {"retention": 5},
    "expiring": {"delay": 3, "expires": 2},
    "retried": {"max_retry": 0},
    "rescheduled": {"delay": 15},
    "updated": {"delay": 10},
    "requeued": {"delay": 10},
    "deleted": {"delay": 10},
}
_ACTIONS_OF: Mapping[str, list[tuple[str, float | None, dict[str, object]]]] = {
    "cancelled": [("cancel", None, {})],
    "retried": [("retry", 20.0, {})],
    "rescheduled": [("reschedule", None, {"delay": 0.5})],
    "updated": [("update", None, {"priority": 10})],
    "requeued": [("requeue", None, {"queue": "other"})],
    "deleted": [("delete", None, {})],
}
"""What a client does about a task: the action, seconds after the one before (None: any), and how."""


STORM = Scenario(work=draw_work, settings=SETTINGS, faults=Faults(most=8))
"""With fewer faults than usual: each outage excuses much of what happens to its host for a while."""


@contextmanager
def transitions_seen() -> Generator[None]:
    """Count each transition of a task that a simulation makes, as what `sometimes` has seen."""

    def seen(transition: Transition, source: State | None, target: State | None) -> None:
        sometimes(transition_name(transition))
        advance(transition, source, target)

    change.advance = seen
    try:
        yield
    finally:
        change.advance = advance


def transition_name(transition: Transition) -> str:
    """Return the name under which a transition is counted."""
    return f"the transition {transition}"
