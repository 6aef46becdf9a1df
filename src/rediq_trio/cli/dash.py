"""`rediq dash`: the screen of a terminal, live, from which tasks are found and acted on."""

from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.cli.statuses import DONE

if TYPE_CHECKING:
    from rediq_trio.client import Client

CALL_PATIENCE = 0.5
"""Seconds for which a call is repeated: the screen says at once that Redis is away, and goes on trying."""
LEAVES_WITHIN = 3.0
"""Seconds from a signal until the process is ended, should its terminal or Redis hold it up."""
EXTRA = "rediq dash needs the extra 'dash': pip install 'rediq-trio[dash]'"


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Show all queues, tasks, failures, workers, schedules and workflows in this terminal, "
        "live, and act on them by keys; ? shows them.",
    )
    common_flags(parser, "url", "key_prefix")
    parser.add_argument(
        "--read-only", action="store_true", help="refuse whatever changes something"
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        default="",
        help="what is shown beside the server, like production",
    )
    ground = parser.add_mutually_exclusive_group()
    ground.add_argument("--light", action="store_true", help="colors for a light terminal")
    ground.add_argument("--dark", action="store_true", help="colors for a dark terminal")
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    """Show the screen; return the status."""
    check_terminal()
    import trio

    return trio.run(_dash, arguments)


async def _dash(arguments: argparse.Namespace) -> int:
    from rediq_trio.client import connect
    from rediq_trio.settings import settle_settings
    from rediq_trio.store.urls import default_url, scheme_of, without_secrets

    url = arguments.url or default_url()
    if scheme_of(url) == "memory":
        raise ConfigError.of(
            "url", url, "that of a server: what is in memory:// ends with its process"
        )
    given = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
    prefix = settle_settings(given).key_prefix
    light = True if arguments.light else False if arguments.dark else None
    async with connect(url, key_prefix=prefix, patience=CALL_PATIENCE) as client:
        await show_screen(
            client, where=server_words(without_secrets(url)), environment=arguments.environment,
            read_only=arguments.read_only, light=light,
        )  # fmt: skip
    return DONE


async def show_screen(
    client: Client, *, where: str, environment: str, read_only: bool = False, light: bool | None = None
) -> None:
    """Show the screen until its user, a signal or the end of the terminal ends it."""
    from rediq_trio.cli.operate.person import acting_person
    from rediq_trio.cli.process.terminal_end import ask_when_terminal_ends, leaving_within
    from rediq_trio.cli.stop_signals import stop_signals
    from rediq_trio.cli.tasks.edit_on_screen import edit_on_screen
    from rediq_trio.dash.ground import ask_terminal, ground_of
    from rediq_trio.dash.run import DashOptions, run_dash
    from rediq_trio.values.hiding import Hiding

    answer = ask_terminal() if light is None else b""
    encoding = sys.__stderr__.encoding if sys.__stderr__ is not None else ""
    ground = ground_of(os.environ, answer, encoding=encoding, light=light)
    options = DashOptions(
        where=where, environment=environment, read_only=read_only, ground=ground,
        hide=Hiding.from_environment(), edit=edit_on_screen,
    )  # fmt: skip
    async with stop_signals() as (stop, nursery):
        nursery.start_soon(ask_when_terminal_ends, stop)
        with leaving_within(LEAVES_WITHIN) as begin:

            async def leave() -> None:
                await stop.asked.wait()
                begin()

            await run_dash(client, acting_person(client), options, leave)


def check_terminal() -> None:
    """Raise `ConfigError` if the screen cannot be shown here."""
    if find_spec("textual") is None:
        raise ConfigError(EXTRA)
    if not (
        sys.__stdin__ and sys.__stderr__ and sys.__stdin__.isatty() and sys.__stderr__.isatty()
    ):
        raise ConfigError(
            "rediq dash needs a terminal: for programs there is 'rediq status --json'"
        )
    for name in ("COLUMNS", "LINES"):  # where they are set, they would hide the size of the terminal
        os.environ.pop(name, None)


def server_words(url: str) -> str:
    """Return the server and the database of a URL, as they are shown."""
    server = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
    return server.removesuffix("/").removesuffix("/0") or url
