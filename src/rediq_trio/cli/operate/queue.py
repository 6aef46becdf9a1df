"""`rediq queue`: what an operator sees and changes of queues."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import Output, cell
from rediq_trio.cli.operate.person import person
from rediq_trio.cli.operate.series import SINCE, show_series
from rediq_trio.cli.operate.session import Session, time_flag
from rediq_trio.cli.operate.status import QUEUE_HEADS, row_of
from rediq_trio.cli.operate.targets import TARGET_FLAGS, show_or_set_targets, target_rows
from rediq_trio.cli.operate.verbs import QUEUE, QUEUES, Verbs
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.cli.tasks.flags import read_rate
from rediq_trio.observe.alerts import alerts_of
from rediq_trio.observe.scaling import QueueScaling, read_scaling
from rediq_trio.observe.views import FleetView, look
from rediq_trio.observe.words import count, counted, duration, shown, size, when
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.chance import utc_now
from rediq_trio.values.limits import KeyLimit, QueueLimits
from rediq_trio.values.task import QueueStats


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, pause, resume, limit and flush queues.")
    verbs = Verbs.of(parser)
    verbs.add("list", list_queues, "list queues with their numbers", QUEUES)
    verbs.add("show", show, "show everything about a queue", QUEUE)
    verbs.add(
        "series", show_series, "show how its numbers have changed", QUEUE,
        ("--since", {"metavar": "TIME", "type": time_flag, "default": SINCE,
                     "help": "how long ago it begins, at most 30d (5m)"}),
    )  # fmt: skip
    verbs.add(
        "pause",
        pause,
        "stop all claims; running tasks continue",
        QUEUE,
        ("--reason", {"default": "", "help": "why; kept and shown until resume"}),
        changes=True,
    )
    verbs.add("resume", resume, "allow claims again", QUEUE, changes=True)
    verbs.add("remove", remove, "remove a queue that is empty", QUEUE, destroys=True)
    verbs.add("flush", flush, "delete every task of a queue", QUEUE, destroys=True)
    verbs.add(
        "limit", limit, "show the limits of a queue, or change them", QUEUE,
        ("--key", {"metavar": "KEY", "help": "a limit key, or * for those without a limit"}),
        ("--concurrency", {"metavar": "N", "help": "tasks that may run at once; none removes it"}),
        ("--rate", {"metavar": "N/TIME", "help": "starts in a period, like 100/1m; none removes it"}),
        ("--max-pending", {"metavar": "N", "help": "tasks that may be pending; none removes it"}),
        ("--fair", {"choices": ["limit_key", "none"], "help": "whether limit keys take turns"}),
        changes=True,
    )  # fmt: skip
    verbs.add(
        "targets", show_or_set_targets, "show what is expected of a queue, or change it", QUEUE,
        *TARGET_FLAGS, changes=True,
    )  # fmt: skip
    return parser


async def list_queues(session: Session) -> int:
    view = await look(session.client, await session.known_queues(session.arguments.queues))
    show_list(session.out, view)
    return FAILED if view.unread else DONE


def show_list(out: Output, view: FleetView) -> None:
    """Print a line, or an object, of each queue."""
    for queue in view.queues:
        out.object({"name": queue.name, "at": queue.at, "workers": queue.workers,
                    "stats": queue.stats})  # fmt: skip
    out.table(QUEUE_HEADS, [row_of(queue) for queue in view.queues])
    for name, why in view.unread.items():
        out.note(f"rediq: queue {shown(name)}: {shown(why)}")
    if not view.queues and not view.unread:
        out.say("no queue was ever used here")


async def show(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    client = session.client
    view = await look(client, [name])
    limits = await client.queue(name).limits()
    schedules = [each.name for each in await client.schedules().list() if each.queue == name]
    kept = await client.queue(name).series_bytes()
    scaling = await read_scaling(client, name, view.queues[0].stats, view.workers)
    show_queue(session.out, view, limits, schedules, scaling, kept)
    return DONE


def show_queue(
    out: Output,
    view: FleetView,
    limits: QueueLimits,
    schedules: Sequence[str],
    scaling: QueueScaling,
    series_bytes: int,
) -> None:
    """Print all that is known about the one queue of a view."""
    (seen,) = view.queues
    alerts = [each for each in alerts_of(view) if each.subject == seen.name]
    out.object({
        "name": seen.name, "at": seen.at, "stats": seen.stats, "workers": seen.workers,
        "limits": limits, "schedules": schedules, "scaling": scaling, "alerts": alerts,
        "series_bytes": series_bytes,
    })  # fmt: skip
    stats = seen.stats
    out.fields(f"queue {shown(seen.name)}", [
        ("state", state_text(stats)),
        ("workers", ", ".join(map(shown, seen.workers)) or "none"),
        ("desired workers", f"{count(scaling.desired)}, {count(scaling.live)} live"),
        ("oldest pending", duration(stats.oldest_pending_age) if stats.pending else "-"),
        ("schedules", ", ".join(map(shown, schedules)) or "none"),
        *limit_rows(limits),
        *target_rows(stats.targets),
        ("series", size(series_bytes)),
    ])  # fmt: skip
    out.fields("tasks now", [
        (state.value, count(getattr(stats, state.value))) for state in State
    ])  # fmt: skip
    out.fields("since the beginning", [
        ("enqueued", count(stats.enqueued)), ("completed", count(stats.completed_total)),
        ("failed attempts", count(stats.failed_total)), ("dead", count(stats.dead_total)),
        ("purged", count(stats.purged)), ("deleted", count(stats.deleted)),
        ("became batches", count(stats.batched)),
    ])  # fmt: skip
    for alert in alerts:
        out.say(f"{alert.severity}: {shown(alert.text)}. {shown(alert.next_step)}")


async def pause(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    if not await session.agreed(f"pause {shown(name)}"):
        return DONE
    await session.client.queue(name).pause(session.arguments.reason, person())
    return session.done(f"{shown(name)} is paused", queue=name, paused=True)


async def resume(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    if not await session.agreed(f"resume {shown(name)}"):
        return DONE
    await session.client.queue(name).resume()
    return session.done(f"{shown(name)} is open", queue=name, paused=False)


async def remove(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    if not await session.agreed(f"remove the queue {shown(name)} with its settings and counters"):
        return DONE
    await session.client.queue(name).remove()
    return session.done(f"{shown(name)} is removed", queue=name, removed=True)


async def flush(session: Session) -> int:
    name = await session.known(session.arguments.queue)
    queue = session.client.queue(name)
    stats = await queue.stats()
    some = counted(sum(getattr(stats, state.value) for state in State), "task")
    active = f", {count(stats.active)} of them running" if stats.active else ""
    if not await session.agreed(f"delete {some} of {shown(name)}{active}"):
        return DONE
    gone = await queue.flush()
    return session.done(f"{counted(gone, 'task')} deleted", queue=name, deleted=gone)


async def limit(session: Session) -> int:
    options = session.arguments
    name = await session.known(options.queue)
    queue = session.client.queue(name)
    changes: dict[str, Any] = {}
    if options.concurrency is not None:
        changes["concurrency"] = _number("--concurrency", options.concurrency)
    if options.max_pending is not None:
        changes["max_pending"] = _number("--max-pending", options.max_pending)
    if options.rate is not None:
        none = options.rate == "none"
        changes["rate"] = None if none else read_rate("--rate", options.rate, ", or none")
    if options.fair is not None:
        changes["fair_by"] = None if options.fair == "none" else options.fair
    if changes:
        if not await session.agreed(f"set {', '.join(changes)} of {shown(name)}"):
            return DONE
        await queue.limit(key=options.key, **changes)
    elif options.key is not None:
        raise ConfigError(
            "limit: --key names what is limited; pass --concurrency or --rate for its limit"
        )
    limits = await queue.limits()
    session.out.object({"queue": name, "limits": limits})
    session.out.fields(f"limits of {shown(name)}", limit_rows(limits) or [("none", "")])
    return DONE


def _number(flag: str, text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal():
        raise ConfigError.of(flag, text, "a whole number, or none")
    return int(text)


def state_text(stats: QueueStats) -> str:
    """Return whether a queue is paused, by whom, since when and why."""
    if not stats.paused:
        return "open"
    by = f" by {shown(stats.paused_by)}" if stats.paused_by else ""
    since = f", {when(stats.paused_since, utc_now())}" if stats.paused_since else ""
    why = f": {shown(stats.paused_reason)}" if stats.paused_reason else ""
    return f"paused{by}{since}{why}"


def limit_rows(limits: QueueLimits) -> list[tuple[str, str]]:
    """Return the limits of a queue as names and values."""
    whole = KeyLimit(concurrency=limits.concurrency, rate=limits.rate)
    rows = [("limit", _said(whole))] if whole != KeyLimit() else []
    if limits.max_pending is not None:
        rows.append(("max pending", count(limits.max_pending)))
    if limits.fair_by is not None:
        rows.append(("fair by", limits.fair_by))
    return rows + [(f"limit of {cell(key)}", _said(one)) for key, one in limits.keys.items()]


def _said(one: KeyLimit) -> str:
    parts: list[str] = []
    if one.concurrency is not None:
        parts.append(f"{count(one.concurrency)} at once")
    if one.rate is not None:
        parts.append(f"{count(one.rate.count)} in {duration(one.rate.per)}")
    return ", ".join(parts) or "none"
