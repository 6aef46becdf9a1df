"""`rediq status`, and `rediq` alone: what is wrong, and how much there is to do."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.session import Session, operating_flags
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.cli.tasks.watching import WATCH, check_watch, end_with_output
from rediq_trio.client import Client
from rediq_trio.observe.alerts import Alert, Severity, alerts_of
from rediq_trio.observe.posting import AlertPoster, check_post_url
from rediq_trio.observe.sampler import sampling
from rediq_trio.observe.views import FleetView, QueueView, look
from rediq_trio.observe.words import count, counted, duration, instant, rate, shown
from rediq_trio.tasks.for_each import try_each

BRIEF_QUEUES = 5
"""Queues that `rediq` alone shows."""
RATES_OVER = dt.timedelta(minutes=1)
"""The time over which rates are averaged."""
POST_TRIES = 3
"""How often alerts are sent to a receiver that does not accept them, without `--watch`."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Show what is wrong: every alert, over all queues and workers. "
        "Exit status 1 if there is one, for cron and CI.",
    )
    flag, options = WATCH
    parser.add_argument(flag, **options)
    parser.add_argument(
        "--fail-on", choices=["critical", "warn", "none"], default="warn",
        help="the least severe alert that makes the exit status 1 (warn)",
    )  # fmt: skip
    parser.add_argument(
        "--post", metavar="URL",
        help="send alerts there as JSON: with --watch each once when it is raised, and once when it is "
        "over; else those that there are",
    )  # fmt: skip
    parser.add_argument("--brief", action="store_true", help="ten lines, and status 0")
    operating_flags(parser, status)
    return parser


async def status(session: Session) -> int:
    options = session.arguments
    poster = _poster(session)
    if options.watch is None:
        view = await look(session.client)
        if options.brief:
            return show_brief(session.out, await with_rates(session.client, view))
        found = _show(session, view)
        if poster is not None:
            poster.see(view)
            await poster.deliver(POST_TRIES)
        return found
    check_watch(options.watch)
    return await _watch(session, poster)


def _poster(session: Session) -> AlertPoster | None:
    if (url := session.arguments.post) is None:
        return None
    if session.arguments.brief:
        raise ConfigError("--post and --brief cannot be used together: leave out --brief")
    return AlertPoster(check_post_url(url), lambda text: session.out.note(f"rediq: {shown(text)}"))


async def _watch(session: Session, poster: AlertPoster | None) -> int:
    found = DONE
    async with (
        unwrapped_errors(),
        sampling(session.client, every=session.arguments.watch) as sampler,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(end_with_output, nursery.cancel_scope)
        if poster is not None:
            nursery.start_soon(poster.run)
        with sampler.views() as views:
            async for view in views:
                session.out.say(f"-- {instant(view.at)}")
                found = _show(session, view)
                session.out.flush()
                if poster is not None:
                    poster.see(view)
        nursery.cancel_scope.cancel()
    return found


def _show(session: Session, view: FleetView) -> int:
    alerts = show_alerts(session.out, view)
    return FAILED if any(_counts(alert, session.arguments.fail_on) for alert in alerts) else DONE


def show_alerts(out: Output, view: FleetView) -> tuple[Alert, ...]:
    """Print all that is wrong in a view, and what could not be judged; return the alerts."""
    alerts = alerts_of(view)
    out.object({"at": view.at, "alerts": alerts, "away": view.away, "unknown": view.unknown})
    for alert in alerts:
        out.say(line_of(alert))
        out.say(f"          {shown(alert.next_step)}")
    for rule, why in view.unknown.items():
        out.say(f"unknown   {rule}: {shown(why)}")
    if not alerts:
        some = f"{counted(len(view.queues), 'queue')}, {counted(len(view.workers), 'worker')}"
        out.say(f"nothing is wrong ({some})")
    return alerts


def _counts(alert: Alert, fail_on: str) -> bool:
    return fail_on == "warn" or (fail_on == "critical" and alert.severity is Severity.CRITICAL)


def line_of(alert: Alert) -> str:
    """Return an alert in one line."""
    return f"{alert.severity:<8}  {shown(alert.subject)}: {shown(alert.text)}"


async def with_rates(client: Client, view: FleetView) -> FleetView:
    """Return the view with the rates of its busiest queues over the last minute."""
    names = [queue.name for queue in busiest(view)]
    series, _ = await try_each(names, lambda name: client.queue(name).series(RATES_OVER))
    rates = {
        name: sum(point.completed for point in found.points) / (len(found.points) * found.step)
        for name, found in series.items()
        if found.points
    }
    queues = tuple(attrs.evolve(each, rate=rates.get(each.name)) for each in view.queues)
    return attrs.evolve(view, queues=queues)


def busiest(view: FleetView) -> list[QueueView]:
    """Return the queues with the most waiting tasks, the first the busiest."""
    return sorted(view.queues, key=lambda queue: (-queue.waiting, queue.name))[:BRIEF_QUEUES]


def show_brief(out: Output, view: FleetView) -> int:
    """Print a view in ten lines."""
    alerts = alerts_of(view)
    out.object({"at": view.at, "queues": view.queues, "workers": view.workers, "alerts": alerts})
    if not view.queues:
        out.say("no queue was ever used here")
        out.say("next: rediq run module:app, rediq enqueue TYPE, rediq --help")
        return DONE
    first = busiest(view)
    rows = [(*row_of(queue), "-" if queue.rate is None else rate(queue.rate)) for queue in first]
    out.table((*QUEUE_HEADS, "rate"), rows)
    if (more := len(view.queues) - len(first)) > 0:
        out.say(f"and {counted(more, 'queue')} more: rediq queue list")
    running = sum(worker.running for worker in view.workers)
    out.say(f"{counted(len(view.workers), 'worker')}, {counted(running, 'task')} running")
    out.say(_worst(alerts))
    out.say(
        f"next: {shown(alerts[0].next_step) if alerts else 'rediq queue show ' + first[0].name}"
    )
    return DONE


def _worst(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "nothing is wrong"
    more = f" (and {len(alerts) - 1} more: rediq status)" if len(alerts) > 1 else ""
    return line_of(alerts[0]) + more


QUEUE_HEADS = (
    "queue",
    "pending",
    "active",
    "scheduled",
    "retry",
    "dead",
    "oldest",
    "workers",
    "state",
)
"""The columns of a queue."""


def row_of(queue: QueueView) -> tuple[str, ...]:
    """Return the cells of a queue."""
    stats = queue.stats
    age = stats.oldest_pending_age
    return (
        shown(queue.name), count(stats.pending), count(stats.active),
        count(stats.scheduled + stats.blocked + stats.grouped), count(stats.retry),
        count(stats.dead), duration(age) if stats.pending else "-", count(len(queue.workers)),
        "paused" if stats.paused else "open",
    )  # fmt: skip
