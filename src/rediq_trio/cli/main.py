"""The command `rediq`: its parser, and how it prints errors.

Exit status: 0 done, 1 failed, 2 used or configured wrongly, 130 interrupted. An error that the
library raises on purpose is printed as one line on standard error that says what to do next,
without a traceback. Any other error is a bug, and its traceback is printed.
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
from rediq_trio.cli.error_text import explain
from rediq_trio.cli.stop_signals import INTERRUPTED_STATUS
from rediq_trio.store.urls import without_secrets

_MISUSE = (ConfigError, PayloadError, UnknownTaskType)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # The message quotes arguments, which may contain the password of a URL.
        self.exit(2, f"{self.prog}: {without_secrets(message)}; see '{self.prog} --help'\n")


def own_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("rediq-trio")
    except PackageNotFoundError:  # a bare checkout on PYTHONPATH
        return "unknown"


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with all commands."""
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
    """Run the command line and return the exit status."""
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
    """Print what went wrong and return the exit status; return None for a bug."""
    match error:
        case RediqError():
            print(f"rediq: {without_secrets(explain(error))}", file=sys.stderr)
            return 2 if isinstance(error, _MISUSE) else 1
        case BrokenPipeError():
            # The reader of our output has ended. Python would report it again at its exit.
            sys.stdout = None
            return 1
        case KeyboardInterrupt():
            return INTERRUPTED_STATUS
        case _:
            return None
