"""The command `rediq`: its parser, and how it prints errors.

Exit status: 0 done, 1 failed, 2 used or configured wrongly, 130 interrupted. An error that the
library raises on purpose is printed as one line on standard error that says what to do next,
without a traceback. Any other error is a bug, and its traceback is printed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    PayloadError,
    RediqError,
    ServerRefused,
    UnknownTaskType,
    WorkerCrashed,
    did_you_mean,
)
from rediq_trio._nursery import innermost
from rediq_trio._version import __version__
from rediq_trio.cli.stop_signals import INTERRUPTED_STATUS
from rediq_trio.store.urls import without_secrets

_MISUSE = (ConfigError, PayloadError, UnknownTaskType)
_NEXT: tuple[tuple[type[RediqError], str], ...] = (
    (ServerRefused, "Try again when Redis takes commands"),
    (ConnectionLost, "Start it, or name another server with --url or REDIQ_URL"),
    (WorkerCrashed, "This is a bug: run it again with --log-level debug and report what it says"),
)
"""What to do next, for messages that do not say it."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # The message quotes arguments, which may contain the password of a URL.
        self.exit(2, f"{self.prog}: {without_secrets(message)}; see '{self.prog} --help'\n")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line, with all commands."""
    from rediq_trio.cli import check, demo, history, run

    parser = _Parser(
        prog="rediq",
        description="Background tasks for Trio programs, on Redis.",
        epilog="REDIQ_URL is the default of --url, REDIQ_LEASE of --lease, and so on.",
    )
    parser.add_argument("--version", action="version", version=f"rediq-trio {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for command in (demo, run, history, check):
        command.add_command(commands)
    for command_parser in commands.choices.values():
        command_parser.set_defaults(parser=command_parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments, unknown = make_parser().parse_known_args(argv)
    if unknown:
        _refuse_unknown(arguments.parser, unknown)
    try:
        status: int = arguments.execute(arguments)
        sys.stdout.flush()
    except BaseException as error:
        failed = _failure(innermost(error), arguments)
        if failed is None:
            raise
        return failed
    return status


def _refuse_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    known = re.findall(r"--[a-z][a-z-]+", parser.format_help())
    flags = (argument.partition("=")[0] for argument in unknown)
    hint = next((hint for flag in flags if (hint := did_you_mean(flag, known))), "")
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def _failure(error: BaseException, arguments: argparse.Namespace) -> int | None:
    """Print what went wrong and return the exit status; return None for a bug."""
    match error:
        case RediqError():
            print(f"rediq: {without_secrets(_explain(error))}", file=sys.stderr)
            # `check` says with 1 that it found something.
            return 2 if isinstance(error, _MISUSE) or arguments.command == "check" else 1
        case BrokenPipeError():
            # The reader of our output has ended. Python would report it again at its exit.
            sys.stdout = None
            return 1
        case KeyboardInterrupt():
            return INTERRUPTED_STATUS
        case _:
            return None


def _explain(error: RediqError) -> str:
    """Return an error as one line that says what to do next."""
    said = " ".join(str(error).split())
    for kind, hint in _NEXT:
        if isinstance(error, kind) and not isinstance(error, _MISUSE):
            said = said.rstrip(".")
            return f"{said}{'' if said.endswith('?') else '.'} {hint}"
    return said
