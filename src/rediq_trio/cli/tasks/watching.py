"""`--watch`: a list that is printed again and again, until Ctrl-C or until nobody reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from rediq_trio._errors import ConfigError
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.cli.operate.session import Session, time_flag
from rediq_trio.cli.process.terminal_end import until_ended
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import instant
from rediq_trio.values.chance import utc_now

WATCH_MIN = 0.1
"""Seconds between two readings, at least."""
WATCH: tuple[str, dict[str, Any]] = (
    "--watch",
    {"nargs": "?", "const": 2.0, "type": time_flag, "metavar": "TIME",
     "help": "go on, looking again after that long (2s)"},
)  # fmt: skip


def check_watch(every: float) -> None:
    """Raise `ConfigError` for readings that would follow one another without a pause."""
    if every < WATCH_MIN:
        raise ConfigError.of("--watch", every, f"at least {WATCH_MIN:g} seconds")


async def watched(session: Session, look: Callable[[], Awaitable[int]]) -> int:
    """Look once, or again and again if `--watch` is given; return the status."""
    every: float | None = session.arguments.watch
    if every is None:
        return await look()
    check_watch(every)
    async with unwrapped_errors(), trio.open_nursery() as nursery:
        nursery.start_soon(end_with_output, nursery.cancel_scope)
        nursery.start_soon(_look_on, session, look, every)
    return DONE


async def _look_on(session: Session, look: Callable[[], Awaitable[int]], every: float) -> None:
    while True:
        session.out.say(f"-- {instant(utc_now())}")
        await look()
        session.out.flush()
        await trio.sleep(every)


async def end_with_output(scope: trio.CancelScope) -> None:
    """Stop once nobody can read what is printed, however long it is until the next reading."""
    await until_ended(1)
    scope.cancel()
