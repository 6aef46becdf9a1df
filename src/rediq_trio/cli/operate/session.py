"""A command at work: its client, its output, and what it asks before it destroys."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Awaitable, Callable

import attrs
import trio

from rediq_trio._errors import ConfigError, RediqError, did_you_mean
from rediq_trio.cli.flags import common_flags
from rediq_trio.cli.operate.output import Output, open_output
from rediq_trio.cli.operate.person import acting_person
from rediq_trio.cli.statuses import DONE, FAILED, NotThere
from rediq_trio.client import Client, connect
from rediq_trio.observe.words import duration, read_duration, shown
from rediq_trio.settings import settle_settings
from rediq_trio.store.urls import default_url, scheme_of
from rediq_trio.values.bounds import check_name


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

    async def agreed(self, what: str) -> bool:
        """Say what will be done, and ask whether to; `--yes` says so, and `--dry-run` never does."""
        if self.arguments.dry_run:
            self.out.note(f"would {what}; nothing was changed")
            return False
        if self.arguments.yes:
            return True
        if not sys.stdin.isatty():
            raise ConfigError(f"this would {what}: say so with --yes, or look with --dry-run")
        question = f"{what[0].upper()}{what[1:]}? [y/N] "
        answer = await trio.to_thread.run_sync(input, question, abandon_on_cancel=True)
        if answer.strip().lower() in ("y", "yes"):
            return True
        self.out.note("nothing was changed")
        return False

    def done(self, text: str, **facts: object) -> int:
        """Say what was done, in one line or as one object; return the status."""
        self.out.say(text)
        self.out.object(facts)
        return DONE


Work = Callable[[Session], Awaitable[int]]


def operating_flags(parser: argparse.ArgumentParser, work: Work, *, destroys: bool = False) -> None:
    """Add what all of these commands take, and what this one does."""
    common_flags(parser, "url", "key_prefix", "json")
    parser.add_argument("--no-color", action="store_true", help="no colors (NO_COLOR)")
    parser.add_argument(
        "--timeout", metavar="TIME", type=time_flag, default=math.inf,
        help="give up after that long, like 10s (never)",
    )  # fmt: skip
    if destroys:
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.set_defaults(execute=execute, work=work)


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
    status = FAILED
    with trio.move_on_after(arguments.timeout) as scope:
        async with connect(url, key_prefix=prefix) as client:
            out = open_output(json=arguments.json, color=not arguments.no_color)
            status = await arguments.work(Session(acting_person(client), out, arguments))
    if scope.cancelled_caught:
        raise GaveUp(
            f"it was not done within {duration(arguments.timeout)}: some of it may have been, "
            "and doing it again does no harm. Give it longer with --timeout"
        )
    return status
