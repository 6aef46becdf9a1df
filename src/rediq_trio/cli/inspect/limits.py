"""`rediq limit list`: the limits of queues, and which running tasks use them up."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator

import attrs

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import QUEUES, Verbs
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, duration, relative, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import ANY_KEY
from rediq_trio.values.chance import utc_now
from rediq_trio.values.limits import KeyLimit, QueueLimits
from rediq_trio.values.task import TaskInfo

LIMIT_HEADS = ("queue", "limit key", "running", "at once", "rate", "oldest", "task")
WHOLE_QUEUE = "(the queue)"
"""What a table shows in place of a limit key, for the limit of the queue itself."""
HOLDERS_MAX = 50
"""Tasks that are named of one limit, at most."""


@attrs.frozen(kw_only=True)
class UsedLimit:
    """A limit, and the running tasks that it counts."""

    queue: str
    key: str | None
    """The limit key; None for the queue itself."""
    of_any_key: bool
    """Whether the limit is that of `*`, for keys without one of their own."""
    limit: KeyLimit
    running: int
    oldest_since: dt.datetime | None
    """When the one that has run longest was started; None if none runs."""
    tasks: tuple[str, ...]
    """Ids of those that run, those first that have run longest, 50 at most."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="List the limits of queues, and which running tasks use them up. "
        "'rediq queue limit' sets them.",
    )
    verbs = Verbs.of(parser)
    verbs.add("list", list_limits, "list limits, and the running tasks that hold them", QUEUES)
    return parser


async def list_limits(session: Session) -> int:
    names = await session.known_queues(session.arguments.queues)
    found = [used for name in names for used in await _of_queue(session, name)]
    for used in found:
        session.out.object(attrs.asdict(used, recurse=False))
    session.out.table(LIMIT_HEADS, [_row(used) for used in found])
    if not found:
        where = ", ".join(map(shown, names)) or "any queue"
        session.out.say(f"no limits in {where}: set one with rediq queue limit QUEUE")
    return DONE


async def _of_queue(session: Session, name: str) -> list[UsedLimit]:
    queue = session.client.queue(name)
    limits = await queue.limits()
    if not limits.keys and limits.concurrency is None and limits.rate is None:
        return []
    running = [info async for info in queue.find(State.ACTIVE, newest=False)]
    return [*_used(name, limits, running)]


def _used(name: str, limits: QueueLimits, running: list[TaskInfo]) -> Iterator[UsedLimit]:
    whole = KeyLimit(concurrency=limits.concurrency, rate=limits.rate)
    if whole != KeyLimit():
        yield _one(name, None, whole, running)
    for key, limit in limits.keys.items():
        if key != ANY_KEY:
            yield _one(name, key, limit, [info for info in running if info.limit_key == key])
    if ANY_KEY not in limits.keys:
        return
    any_limit = limits.keys[ANY_KEY]
    keys = {info.limit_key for info in running} - {None, *limits.keys}
    for key in sorted(map(str, keys)):
        some = [info for info in running if info.limit_key == key]
        yield _one(name, key, any_limit, some, of_any_key=True)
    if not keys:
        yield _one(name, ANY_KEY, any_limit, [], of_any_key=True)


def _one(
    name: str,
    key: str | None,
    limit: KeyLimit,
    running: list[TaskInfo],
    *,
    of_any_key: bool = False,
) -> UsedLimit:
    timed = sorted((info.started_at, info.id) for info in running if info.started_at is not None)
    return UsedLimit(
        queue=name, key=key, of_any_key=of_any_key, limit=limit, running=len(running),
        oldest_since=timed[0][0] if timed else None,
        tasks=tuple(task_id for _, task_id in timed[:HOLDERS_MAX]),
    )  # fmt: skip


def _row(used: UsedLimit) -> tuple[str, ...]:
    limit = used.limit
    rate = "-" if limit.rate is None else f"{count(limit.rate.count)} in {duration(limit.rate.per)}"
    key = WHOLE_QUEUE if used.key is None else cell(used.key, 40)
    any_key = " (as *)" if used.of_any_key and used.key != ANY_KEY else ""
    since = "-" if used.oldest_since is None else relative(used.oldest_since, utc_now())
    return (
        cell(used.queue), f"{key}{any_key}", count(used.running),
        "-" if limit.concurrency is None else count(limit.concurrency), rate, since,
        cell(used.tasks[0] if used.tasks else None),
    )  # fmt: skip
