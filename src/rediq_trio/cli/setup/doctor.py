"""`rediq doctor`: is the server as it must be, and the way to it; each line ok, or what to do.

It opens a connection of its own, because a client refuses what is to be looked at here: a server that
may evict keys, or a user without rights. It changes nothing, and each look is short.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Awaitable, Iterable

import attrs
import trio

from rediq_trio import __version__
from rediq_trio._errors import AccessRefused, ConfigError, ConnectionLost, RediqError, StoreError
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.cli.operate.output import Output, open_output
from rediq_trio.cli.operate.session import time_flag
from rediq_trio.cli.setup.diagnosis import (
    Diagnosis,
    judge_clock,
    judge_latency,
    judge_persistence,
    judge_server,
    ok,
    unknown,
    wrong,
)
from rediq_trio.cli.setup.permissions import look_at_rights
from rediq_trio.cli.setup.queue_samples import clock_apart, sample_queues
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.cli.supervisor import shared_server
from rediq_trio.observe.words import shown
from rediq_trio.settings import settle_settings
from rediq_trio.store.opening import info_fields
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.urls import (
    default_url,
    redacted,
    scheme_of,
    shows_password,
    without_secrets,
)
from rediq_trio.values.bounds import check_name

ROUND_TRIPS = 20
LOOK_WITHIN = 10.0
"""Seconds that a single look may take."""
_MARKS = {"ok": "ok", "wrong": "WRONG", "unknown": "?"}


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Check the server and the way to it: URL, version, eviction, persistence, rights, "
        "latency, clock, and what is stored. Each line is ok, or says what to do. Exit status 1 if "
        "something is wrong.",
    )
    parser.add_argument(
        "--queue", metavar="NAME", default="doctor",
        help="whose keys the rights are tried on, for a user of one queue",
    )  # fmt: skip
    common_flags(parser, "url", "key_prefix", "json")
    parser.add_argument("--no-color", action="store_true", help="no colors (NO_COLOR)")
    parser.add_argument(
        "--timeout", metavar="TIME", type=time_flag, default=math.inf,
        help="give up after that long, like 10s (never)",
    )  # fmt: skip
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    url = arguments.url or default_url()
    options = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
    prefix = settle_settings(options).key_prefix
    check_name("queue", arguments.queue)
    scheme = scheme_of(url)
    if scheme == "memory":
        raise ConfigError.of("url", url, "that of a server: memory:// ends with its process")
    if scheme != "embedded":
        parse_address(url)  # a URL that is wrong is no finding, but a wrong use
    out = open_output(json=arguments.json, color=not arguments.no_color)
    doctor = _Doctor(url, prefix, arguments.queue)
    doctor.look_at_url(given=arguments.url)
    trio.run(doctor.run, arguments.timeout)
    return doctor.say(out)


@attrs.define(eq=False)
class _Doctor:
    _url: str
    _prefix: str
    _queue: str
    _found: list[Diagnosis] = attrs.field(factory=list[Diagnosis])

    def say(self, out: Output) -> int:
        """Print the lines; return the exit status."""
        healthy = not any(one.state == "wrong" for one in self._found)
        out.object({"version": __version__, "ok": healthy, "checks": self._found})
        width = max(len(one.name) for one in self._found)
        for one in self._found:
            out.say(f"{_MARKS[one.state]:<6}  {one.name:<{width}}  {one.text}")
            if one.next_step:
                out.say(f"{'':<{width + 10}}-> {one.next_step}")
        return DONE if healthy else FAILED

    def look_at_url(self, *, given: str | None) -> None:
        shown_url = str(redacted(self._url))
        if given and shows_password(given):
            self._found.append(wrong(
                "url", f"{shown_url}: every user of this machine can see the password on the command line",
                "set REDIQ_URL instead of --url",
            ))  # fmt: skip
        else:
            self._found.append(ok("url", shown_url))

    async def run(self, within: float) -> None:
        with trio.move_on_after(within) as scope:
            await self._look()
        if scope.cancelled_caught:
            self._found.append(wrong(
                "timeout", f"it was not done within {within:g} s", "give it longer with --timeout"
            ))  # fmt: skip

    async def _look(self) -> None:
        begun = time.perf_counter()
        try:
            async with (
                shared_server(self._url) as url,
                open_gateway(parse_address(url), Keys(self._prefix)) as gateway,
            ):
                took = time.perf_counter() - begun
                self._found.append(ok("connection", f"opened in {took * 1000:.0f} ms"))
                await self._look_through(gateway, url)
        except ConnectionLost as error:
            # Also the refusal of a user or a password.
            self._found.append(self._refusal(error))
        except ConfigError as error:
            self._found.append(self._refusal(error))

    def _refusal(self, error: RediqError) -> Diagnosis:
        if isinstance(error, ConfigError):
            step = "correct the URL (its user, password or certificates), or the server"
        else:
            step = "start it, or name another server with --url or REDIQ_URL"
        return wrong("connection", _line(error), step)

    async def _look_through(self, gateway: Gateway, url: str) -> None:
        await self._try("server", self._look_at_servers(gateway))
        if any(one.name == "role" and "Sentinel" in one.text for one in self._found):
            return  # it has none of the commands
        await self._try("latency", self._look_at_latency(gateway))
        await self._try("clock", self._look_at_clock(gateway))
        await self._try("rights", self._look_at_rights(gateway, url))
        await self._try("stored", sample_queues(gateway, self._prefix))

    async def _try(self, name: str, look: Awaitable[Iterable[Diagnosis]]) -> None:
        """Add what a look finds; what cannot be looked at is a line too."""
        try:
            with trio.fail_after(LOOK_WITHIN):
                self._found.extend(await look)
        except AccessRefused as error:
            self._found.append(unknown(name, _line(error)))  # the line about rights says what to do
        except ConnectionLost as error:
            self._found.append(wrong(name, _line(error), "try again; look at the server's own log"))
        except StoreError as error:
            self._found.append(
                wrong(name, _line(error), "look at the queues with rediq check --all")
            )
        except trio.TooSlowError:
            self._found.append(wrong(
                name, f"no answer within {LOOK_WITHIN:g} s", "look at the load of the server"
            ))  # fmt: skip

    async def _look_at_servers(self, gateway: Gateway) -> list[Diagnosis]:
        found: list[Diagnosis] = []
        for node, reply in (await gateway.call_each(b"INFO")).items():
            info = info_fields(reply)
            save = None if info.get("aof_enabled") == "1" else await _save_setting(gateway)
            lines = [*judge_server(info), judge_persistence(info, save)]
            if len(gateway.nodes) > 1:
                lines = [attrs.evolve(line, text=f"{node}: {line.text}") for line in lines]
            found.extend(lines)
        return found

    async def _look_at_latency(self, gateway: Gateway) -> list[Diagnosis]:
        seconds: list[float] = []
        for _ in range(ROUND_TRIPS):
            begun = time.perf_counter()
            await gateway.call(b"PING")
            seconds.append(time.perf_counter() - begun)
        return [judge_latency(seconds)]

    async def _look_at_clock(self, gateway: Gateway) -> list[Diagnosis]:
        return [judge_clock(await clock_apart(gateway))]

    async def _look_at_rights(self, gateway: Gateway, url: str) -> list[Diagnosis]:
        async with open_gateway(parse_address(url), Keys(self._prefix)) as listener:
            return [await look_at_rights(gateway, listener, self._prefix, self._queue)]


async def _save_setting(gateway: Gateway) -> str | None:
    """Return when the server makes snapshots, "" for never; None if the user may not know."""
    try:
        reply = await gateway.call(b"CONFIG", b"GET", b"save")
    except (ConnectionLost, StoreError):
        return None
    return reply[1].decode() if len(reply) == 2 else None


def _line(error: RediqError) -> str:
    return shown(without_secrets(" ".join(str(error).split())))
