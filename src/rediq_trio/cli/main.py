"""The command `rediq`: its parser, and how its errors look.

Exit status: 0 done, 1 it failed, 2 it was used or set up wrongly, 130 interrupted.
An error that the library raises on purpose is one line on standard error that says
what to do next, without a traceback; any other is a bug and keeps its traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from rediq_trio._errors import (
    ConfigError,
    PayloadError,
    RediqError,
    UnknownTaskType,
)
from rediq_trio._nursery import innermost
from rediq_trio.cli.explaining import explain
from rediq_trio.store.urls import without_secrets

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

_MISUSE = (ConfigError, PayloadError, UnknownTaskType)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # It quotes arguments, which may hold a URL's password.
        self.exit(2, f"{self.prog}: {without_secrets(message)}; see '{self.prog} --help'\n")


def own_version() -> str:
    """Give the version of the installed distribution."""
    try:
        return version("rediq-trio")
    except PackageNotFoundError:  # a bare checkout on PYTHONPATH
        return "unknown"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    from rediq_trio.cli import check, demo, history, replay, run

    parser = _Parser(
        prog="rediq",
        description="Background tasks for Trio programs, on Redis.",
        epilog="REDIQ_URL is the default of --url, REDIQ_LEASE of --lease, and so on.",
    )
    parser.add_argument("--version", action="version", version=f"rediq-trio {own_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    demo.add_command(commands)
    run.add_command(commands)
    history.add_command(commands)
    replay.add_command(commands)
    check.add_command(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        status: int = arguments.execute(arguments)
        sys.stdout.flush()
    except BaseException as error:
        failed = _failure(innermost(error))
        if failed is None:
            raise
        return failed
    return status


def _failure(error: BaseException) -> int | None:
    """Tell what went wrong and give the exit status; None for a bug."""
    match error:
        case RediqError():
            print(f"rediq: {without_secrets(explain(error))}", file=sys.stderr)
            return 2 if isinstance(error, _MISUSE) else 1
        case BrokenPipeError():
            # Whoever read our output has gone. Python would complain once more at its exit.
            sys.stdout = None
            return 1
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return None
