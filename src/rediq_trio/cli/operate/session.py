"""A command at work: its client, its output, and what it asks before it destroys."""

from __future__ import annotations

import argparse
import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    RediqError,
    ServerRefused,
    TaskNotFound,
    did_you_mean,
)
from rediq_trio.cli.flags import common_flags
from rediq_trio.cli.operate.output import Output, open_output
from rediq_trio.cli.operate.person import acting_person
from rediq_trio.cli.operate.stdin import answer_to, is_asked
from rediq_trio.cli.statuses import DONE, FAILED, NotThere
from rediq_trio.client import Client, connect
from rediq_trio.observe.single import TaskView, look_at_task
from rediq_trio.observe.words import duration, read_duration, shown
from rediq_trio.settings import settle_settings
from rediq_trio.store.retrying import noting_waits
from rediq_trio.store.urls import default_url, scheme_of, without_secrets
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import check_name, queue_of
from rediq_trio.values.task import TaskInfo


class GaveUp(RediqError):
    """The command took longer than `--timeout` allows."""


@attrs.frozen
class Session:
    """What a command works with."""

    client: Client
    out: Output
    arguments: argparse.Namespace

    async def known(self, name: str) -> str:
        """Return the name of a queue that was ever used; raise `NotThere` for another."""
        check_name("QUEUE", name)
        names = await self.client.queues()
        if name not in names:
            hint = did_you_mean(name, names) or "; see 'rediq queue list'"
            raise NotThere(f"there is no queue {shown(name)}{hint}")
        return name

    async def known_queues(self, names: list[str]) -> list[str]:
        """Return these queues, or all that were ever used."""
        if not names:
            return await self.client.queues()
        return [await self.known(name) for name in dict.fromkeys(names)]

    async def task_info(self, handle: TaskHandle[Any]) -> TaskInfo:
        """Read a task; raise `NotThere` if its queue is not there, else `TaskNotFound`."""
        return (await self.task_view(handle)).info

    async def task_view(self, handle: TaskHandle[Any]) -> TaskView:
        """Read a task, with the instant; raise as `task_info` does."""
        try:
            return await look_at_task(handle)
        except TaskNotFound:
            await self.known(queue_of(handle.id.partition("/")[0]))
            raise

    async def agreed(self, what: str) -> bool:
        """Ask whether to do what destroys something, and return the answer.

        With `--yes` nobody is asked, and with `--dry-run` it only prints what would be done. What
        destroys nothing is agreed to.
        """
        if self.arguments.dry_run:
            self.out.note(f"would {what}; nothing was changed")
            self.out.object({"dry_run": True, "would": what})
            return False
        if getattr(self.arguments, "yes", True):
            return True
        if not is_asked():
            raise ConfigError(
                f"this would {what}, and nobody can be asked: pass --yes to do it, --dry-run to look"
            )
        answer = await answer_to(f"{what[0].upper()}{what[1:]}? [y/N] ")
        if answer.lower() in ("y", "yes"):
            return True
        self.out.note("nothing was changed")
        return False

    def done(self, text: str, **facts: object) -> int:
        """Print what was done, as one line or as one object; return the status."""
        self.out.say(text)
        self.out.object(facts)
        return DONE


@attrs.define
class WaitNote:
    """Prints once, on standard error, why a command has no answer yet."""

    _out: Output
    _said: bool = False

    def __call__(self, lost: ConnectionLost, left: float) -> None:
        if self._said:
            return
        self._said = True
        how_long = "until it answers" if math.isinf(left) else f"for {duration(left)} more"
        why = " ".join(without_secrets(str(lost)).split()).rstrip(".")
        if isinstance(lost, ServerRefused) and "READONLY" in why:
            why += "; a replica takes writes only if it becomes a primary"
        self._out.note(f"rediq: trying again {how_long}, Ctrl-C ends that: {shown(why)}")


OperatorAct = Callable[[Session], Awaitable[int]]


def operating_flags(
    parser: argparse.ArgumentParser, work: OperatorAct, *, changes: bool = False, destroys: bool = False
) -> None:
    """Add what all of these commands take, and what this one does.

    One that `changes` something has `--dry-run`; one that `destroys` something asks before it does,
    and has `--yes` too.
    """
    common_flags(parser, "url", "key_prefix")
    output_flags(parser)
    if destroys:
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if changes or destroys:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(execute=execute, work=work)


def output_flags(parser: argparse.ArgumentParser) -> None:
    """Add what commands take that need no server, too."""
    common_flags(parser, "json")
    parser.add_argument("--no-color", action="store_true", help="no colors (NO_COLOR)")
    parser.add_argument(
        "--timeout", metavar="TIME", type=time_flag, default=math.inf,
        help="give up after that long, like 10s (never)",
    )  # fmt: skip


def time_flag(text: str) -> float:
    """Read a duration of the command line, in seconds."""
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute(arguments: argparse.Namespace) -> int:
    """Run a command; return its status."""
    url = arguments.url or default_url()
    given = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
    prefix = settle_settings(given).key_prefix
    if scheme_of(url) == "memory":
        bound = "that of a server: what is in memory:// ends with its process"
        raise ConfigError.of("url", url, bound)
    return trio.run(_work, arguments, url, prefix)


async def _work(arguments: argparse.Namespace, url: str, prefix: str) -> int:
    async def work() -> int:
        async with connect(url, key_prefix=prefix) as client:
            out = open_output(json=arguments.json, color=not arguments.no_color)
            with noting_waits(WaitNote(out)):
                status: int = await arguments.work(Session(acting_person(client), out, arguments))
            return status

    return await in_time(arguments, work)


async def in_time(arguments: argparse.Namespace, work: Callable[[], Awaitable[int]]) -> int:
    """Return the status of what a command does; raise `GaveUp` after its `--timeout`."""
    status = FAILED
    with trio.move_on_after(arguments.timeout) as scope:
        status = await work()
    if scope.cancelled_caught:
        raise GaveUp(
            f"it was not done within {duration(arguments.timeout)}: some of it may have been, "
            "and it can be done again. Give it longer with --timeout"
        )
    return status
