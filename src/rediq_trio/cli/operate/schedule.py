"""`rediq schedule`: what an operator sees and changes of schedules."""

from __future__ import annotations

import argparse
import datetime as dt

import attrs

from rediq_trio._errors import ConfigError, ScheduleNotFound, did_you_mean
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import Verbs, check_count
from rediq_trio.cli.statuses import DONE, NotThere
from rediq_trio.cli.tasks.flags import OPTIONS, read_payload, task_of
from rediq_trio.cli.tasks.signatures import UNCHECKED, KnownSignatures
from rediq_trio.observe.recurrence import next_ticks
from rediq_trio.observe.words import instant, read_duration, relative, shown, when
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.values.chance import utc_now
from rediq_trio.values.schedule import Cron, Every

SCHEDULE_HEADS = ("schedule", "queue", "type", "when", "next", "last", "state")
SCHEDULE_NAME = ("name", {"metavar": "NAME", "help": "the schedule's name"})
TICKS_SHOWN = (
    "-n",
    {"metavar": "N", "type": int, "default": 10, "help": "how many, 1 to 1,000 (10)"},
)


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, add, pause, resume, run and remove schedules.")
    verbs = Verbs.of(parser)
    verbs.add("list", list_schedules, "list all schedules")
    verbs.add("show", show, "show a schedule", SCHEDULE_NAME)
    verbs.add("next", show_next, "show the next ticks of a schedule", SCHEDULE_NAME, TICKS_SHOWN)
    verbs.add(
        "add", add, "add a schedule, or replace the one of that name", SCHEDULE_NAME,
        ("--every", {"metavar": "TIME", "help": "an interval, like 30s or 1h"}),
        ("--cron", {"metavar": "LINE", "help": "five fields, like '0 2 * * *'"}),
        ("--timezone", {"default": "UTC", "help": "of --cron (UTC)"}),
        ("type", {"metavar": "TYPE", "help": "the type of its tasks"}),
        ("payload", {"metavar": "JSON or KEY=VALUE", "nargs": "*", "help": "the payload"}),
        *(option for option in OPTIONS if option[0] in ("--queue", "--priority")), UNCHECKED,
        changes=True,
    )  # fmt: skip
    verbs.add("pause", pause, "stop its ticks", SCHEDULE_NAME, changes=True)
    verbs.add("resume", resume, "make it tick again, from now on", SCHEDULE_NAME, changes=True)
    verbs.add("run", run, "enqueue one of its tasks now", SCHEDULE_NAME, changes=True)
    verbs.add("remove", remove, "remove a schedule; its tasks stay", SCHEDULE_NAME, destroys=True)
    return parser


async def list_schedules(session: Session) -> int:
    found = await session.client.schedules().list()
    for info in found:
        session.out.object(_facts(info))
    session.out.table(SCHEDULE_HEADS, [_row(info) for info in found])
    if not found:
        session.out.say("no schedules: declare one with app.schedule, or rediq schedule add")
    return DONE


def _facts(info: ScheduleInfo) -> dict[str, object]:
    return {**attrs.asdict(info, recurse=False), "when": info.description}


def _row(info: ScheduleInfo) -> tuple[str, ...]:
    return (
        cell(info.name), cell(info.queue), cell(info.type, 30), shown(info.description),
        "-" if info.next_run is None else relative(info.next_run, utc_now()),
        "-" if info.last_run is None else relative(info.last_run, utc_now()),
        "paused" if info.paused else "open",
    )  # fmt: skip


async def show(session: Session) -> int:
    _show(session, await known_schedule(session))
    return DONE


async def known_schedule(session: Session) -> ScheduleInfo:
    """Return the schedule that the command names; raise `NotThere` if there is none."""
    schedules, name = session.client.schedules(), session.arguments.name
    try:
        return await schedules.get(name)
    except ScheduleNotFound:
        names = [each.name for each in await schedules.list()]
        hint = did_you_mean(name, names) or "; see 'rediq schedule list'"
        raise NotThere(f"there is no schedule {shown(name)}{hint}") from None


def _show(session: Session, info: ScheduleInfo) -> None:
    session.out.object(_facts(info))
    session.out.fields(f"schedule {shown(info.name)}", [
        ("when", shown(info.description)), ("state", "paused" if info.paused else "open"),
        ("queue", cell(info.queue)), ("type", cell(info.type)),
        ("next", when(info.next_run, utc_now())), ("last", when(info.last_run, utc_now())),
        ("last task", cell(info.last_task_id)),
        ("declared by", "nobody: it was added at run time" if info.owner is None else cell(info.owner)),
    ])  # fmt: skip


async def show_next(session: Session) -> int:
    number = check_count("-n", session.arguments.n)
    info = await known_schedule(session)
    ticks = next_ticks(info, utc_now(), number)
    session.out.object({"name": info.name, "paused": info.paused, "next": ticks})
    if info.paused:
        session.out.say("it is paused: these would be its ticks after a resume")
    for tick in ticks:
        session.out.say(f"{instant(tick)}  {relative(tick, utc_now())}")
    return DONE


async def add(session: Session) -> int:
    options = session.arguments
    if (options.every is None) == (options.cron is None):
        raise ConfigError("schedule add: pass one of --every and --cron")
    if options.every is not None:
        try:
            recurrence: Every | Cron = Every(dt.timedelta(seconds=read_duration(options.every)))
        except ValueError as error:
            raise ConfigError(f"--every: {error}") from None
    else:
        try:
            recurrence = Cron(options.cron, timezone=options.timezone)
        except ConfigError as error:
            raise ConfigError(f"--cron: {error}") from None
    task = task_of(options, options.type, read_payload(options.payload))
    if not options.unchecked:
        known = await KnownSignatures.read(session.client)
        if not known.check(task.queue, task.type, task.payload):
            session.out.note(f"rediq: {known.not_checked(task.queue, task.type)}")
    if not await session.agreed(f"add or replace the schedule {shown(options.name)}"):
        return DONE
    _show(session, await session.client.schedules().add(options.name, recurrence, task))
    return DONE


async def pause(session: Session) -> int:
    name = (await known_schedule(session)).name
    if not await session.agreed(f"pause the schedule {shown(name)}"):
        return DONE
    await session.client.schedules().pause(name)
    return session.done(f"{shown(name)} is paused", name=name, paused=True)


async def resume(session: Session) -> int:
    info = await known_schedule(session)
    name, again = info.name, "again" if info.paused else "already"
    if not await session.agreed(f"resume the schedule {shown(name)}"):
        return DONE
    await session.client.schedules().resume(name)
    return session.done(f"{shown(name)} ticks {again}", name=name, paused=False)


async def run(session: Session) -> int:
    name = (await known_schedule(session)).name
    if not await session.agreed(f"enqueue a task of the schedule {shown(name)}"):
        return DONE
    handle = await session.client.schedules().trigger(name)
    said = f"enqueued {shown(handle.id)}"
    if not handle.created:
        said = f"{shown(handle.id)} holds its unique key: nothing was enqueued"
    return session.done(said, id=handle.id, created=handle.created)


async def remove(session: Session) -> int:
    info = await known_schedule(session)
    schedules, name = session.client.schedules(), info.name
    if not await session.agreed(f"remove the schedule {shown(name)} of {shown(info.queue)}"):
        return DONE
    await schedules.remove(name)
    return session.done(f"{shown(name)} is removed", name=name, removed=True)
