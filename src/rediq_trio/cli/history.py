"""`rediq history`: write the history of a queue to a file, for `rediq replay`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, TextIO

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import common_flags
from rediq_trio.client import Client, connect
from rediq_trio.store.urls import default_url


def add_command(commands: Any) -> None:
    """Add `history` to the parser's commands."""
    parser = commands.add_parser(
        "history",
        help="write the history of a queue",
        description="Write the last transitions of a queue as lines of JSON. "
        "A queue keeps them once history= is set.",
    )
    parser.add_argument("queue", help="the queue's name")
    parser.add_argument("--output", metavar="FILE", help="where to write it (standard output)")
    common_flags(parser, "url", "key_prefix")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write the history and return the exit status."""
    prefix = arguments.key_prefix or os.environ.get("REDIQ_KEY_PREFIX") or "rediq"
    url = arguments.url or default_url()
    many = trio.run(_write, url, prefix, arguments.queue, arguments.output)
    if many:
        return 0
    print(
        f"rediq: the queue {arguments.queue} keeps no history: set history= of its workers, or "
        "Queue.keep_history()",
        file=sys.stderr,
    )
    return 1


async def _write(url: str, prefix: str, name: str, file: str | None) -> int:
    """Write the lines and return the number of entries."""
    many = 0
    async with connect(url, key_prefix=prefix) as client, aclosing(_lines(client, name)) as lines:
        with _opened(file) as output:
            async for line in lines:
                output.write(line + "\n")
                many += "rediq_history" not in line
    return many


def _lines(client: Client, name: str) -> AsyncGenerator[str]:
    return client.queue(name).history_lines()


def _opened(file: str | None) -> AbstractContextManager[TextIO]:
    if file is None:
        return nullcontext(sys.stdout)
    try:
        return open(file, "w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {file}: {error.strerror}") from error
