"""`rediq group list`: the groups whose members wait to become a batch."""

from __future__ import annotations

import argparse
import datetime as dt

import attrs

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import LIMIT, QUEUES, Verbs, check_count
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, duration, relative, shown
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.group import GroupInfo

GROUP_HEADS = ("group", "queue", "size", "becomes a batch", "max size", "grace", "max delay")

_FULL = dt.datetime.min.replace(tzinfo=dt.UTC)


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List the groups whose members wait to become a batch.")
    verbs = Verbs.of(parser)
    verbs.add(
        "list", list_groups, "list groups, those first that become a batch first", QUEUES, LIMIT
    )
    return parser


async def list_groups(session: Session) -> int:
    limit = check_count("--limit", session.arguments.limit)
    names = await session.known_queues(session.arguments.queues)
    found = [
        group for name in names for group in await session.client.queue(name).groups(limit=limit)
    ]
    found.sort(key=lambda group: group.due_at or _FULL)
    for group in found[:limit]:
        session.out.object(attrs.asdict(group, recurse=False))
    session.out.table(GROUP_HEADS, [_row(group) for group in found[:limit]])
    if not found:
        where = ", ".join(map(shown, names)) or "any queue"
        session.out.say(f"no group has members in {where}")
    elif len(found) >= limit:
        session.out.say("there may be more: pass --limit, or name one queue")
    return DONE


def _row(group: GroupInfo) -> tuple[str, ...]:
    due = "now: it is full" if group.due_at is None else relative(group.due_at, utc_now())
    rule = count(group.max_size), duration(group.grace), duration(group.max_delay)
    return (cell(group.name, 40), cell(group.queue), count(group.size), due, *rule)
