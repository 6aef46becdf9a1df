"""`rediq stats`: how the attempts of queues went, by type."""

from __future__ import annotations

import argparse
import datetime as dt

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session, operating_flags, time_flag
from rediq_trio.cli.operate.verbs import LIMIT, QUEUES, check_count
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, counted, duration, rate, share, shown
from rediq_trio.values.observed.types import TypeStats

STATS_SINCE = 3600.0
"""Seconds that are added up without `--since`."""
STATS_KEPT = 86_400.0
"""Seconds for which statistics by type are kept."""
STATS_HEADS = (
    "queue", "type", "attempts", "rate", "failures", "wait p50", "p95", "run p50", "p95",
)  # fmt: skip


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Show how the attempts of queues went, by type, the busiest first. "
        "Steps of 5 minutes are added up; p50 and p95 are estimates from buckets.",
    )
    name, options = QUEUES
    parser.add_argument(name, **options)
    parser.add_argument(
        "--since", metavar="TIME", type=time_flag, default=STATS_SINCE,
        help="how long ago it begins, at most 24h (1h)",
    )  # fmt: skip
    parser.add_argument("--type", metavar="TYPE", help="only this type of task")
    parser.add_argument("--failing", action="store_true", help="only types with failures")
    flag, options = LIMIT
    parser.add_argument(flag, **options)
    operating_flags(parser, show_stats)
    return parser


async def show_stats(session: Session) -> int:
    options = session.arguments
    limit = check_count("--limit", options.limit)
    if options.since > STATS_KEPT:
        raise ConfigError.of("--since", f"{options.since:g} s", "at most 24h, which are kept")
    names = await session.known_queues(options.queues)
    found: list[tuple[str, TypeStats]] = []
    for name in names:
        found += [(name, one) for one in await _read(session, name, options.since)]
    chosen = [
        (name, one)
        for name, one in sorted(found, key=lambda each: -each[1].attempts)
        if (options.type is None or one.type == options.type)
        and (one.failures or not options.failing)
    ]
    for name, one in chosen[:limit]:
        numbers = {"attempts": one.attempts, "rate": one.rate, "failure_rate": one.failure_rate}
        session.out.object({"queue": name, **attrs.asdict(one, recurse=False), **numbers})
    session.out.table(STATS_HEADS, [_row(name, one) for name, one in chosen[:limit]])
    if not chosen:
        which = "that the filters choose " if found else ""
        where = ", ".join(map(shown, names)) or "any queue"
        session.out.say(
            f"no attempts {which}ended in {where} in the last {duration(options.since)}"
        )
    elif len(chosen) > limit:
        session.out.say(f"and {counted(len(chosen) - limit, 'type')} more: pass --limit")
    return DONE


async def _read(session: Session, name: str, since: float) -> tuple[TypeStats, ...]:
    try:
        return await session.client.queue(name).types(dt.timedelta(seconds=since))
    except ConfigError as error:
        raise ConfigError(f"--since: {error}") from None


def _row(name: str, one: TypeStats) -> tuple[str, ...]:
    failed = "-" if one.failure_rate is None else share(one.failure_rate)
    failures = f"{count(one.failures)} ({failed})" if one.failures else "0"
    times = [each for some in (one.wait, one.run) if some for each in (some.p50, some.p95)]
    return (
        cell(name), cell(one.type, 40), count(one.attempts), rate(one.rate), failures,
        *(map(duration, times)),
    )  # fmt: skip
