"""The command `rediq`: its parser, and how it prints errors.

Exit status: 0 done, 1 failed or found something, 2 used or configured wrongly, 3 what it is about is not
there, 130 interrupted. An error that the
library raises on purpose is printed as one line on standard error that says what to do next,
without a traceback. Any other error is a bug, and its traceback is printed.
"""

from __future__ import annotations

import argparse
import errno
import gc
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from rediq_trio import __version__
from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    PayloadError,
    PayloadTooLarge,
    RediqError,
    ScheduleNotFound,
    ServerRefused,
    TaskNotFound,
    UnknownTaskType,
    WorkerCrashed,
    WorkerNotFound,
    WorkflowNotFound,
    did_you_mean,
)
from rediq_trio.cli.commands import COMMANDS
from rediq_trio.cli.statuses import FAILED, INTERRUPTED, MISUSED, NOT_THERE, NotThere
from rediq_trio.observe.words import shown
from rediq_trio.store.urls import without_secrets

_MISUSE = (ConfigError, PayloadError, UnknownTaskType)
_NOT_THERE = (NotThere, TaskNotFound, ScheduleNotFound, WorkerNotFound, WorkflowNotFound)
_NEXT: tuple[tuple[type[RediqError], str], ...] = (
    (ServerRefused, "Try again when Redis takes commands"),
    (ConnectionLost, "Start it, or name another server with --url or REDIQ_URL"),
    (TaskNotFound, "See 'rediq task list'"),
    (ScheduleNotFound, "See 'rediq schedule list'"),
    (WorkflowNotFound, "See 'rediq workflow list'"),
    (WorkerCrashed, "This is a bug: run it again with --log-level debug and report what it says"),
)
"""What to do next, for messages that do not say it."""
_LARGE = "Keep large data elsewhere, and enqueue where it is"
_REPLICA = (
    "This is a replica, from which one can only read: name its primary with --url or REDIQ_URL"
)


_WITH_VALUE = frozenset({"--url", "--key-prefix", "--timeout"})
_BEFORE = _WITH_VALUE | {"--json", "--no-color", "--dry-run", "--yes"}
"""Flags that may stand before the command, with and without a value."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = _with_hint(message)
        # The message quotes arguments, which may contain the password of a URL.
        self.exit(2, f"{self.prog}: {shown(without_secrets(message))}; see '{self.prog} --help'\n")


def _with_hint(message: str) -> str:
    """Return what argparse says of a word that is none of the choices, with the one most like it."""
    found = re.fullmatch(r"(.*invalid choice: ['\"]?)([^'\"]*)(['\"]?) \(choose from (.*)\)", message, re.S)
    if found is None:
        return message
    known = [word.strip().strip("'") for word in found[4].split(",")]
    hint = did_you_mean(found[2], known)
    return f"{found[1]}{found[2]}{found[3]}{hint}" if hint else message


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Make the parser of the command line: of all commands, or with the arguments of one only."""
    parser = _Parser(
        prog="rediq",
        description="Background tasks for Trio programs, on Redis. Alone, it shows the state of all queues.",
        epilog="REDIQ_URL is the default of --url, REDIQ_LEASE of --lease, and so on.",
    )
    parser.add_argument("--version", action="version", version=f"rediq-trio {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in COMMANDS.items():
        add_parser = partial(commands.add_parser, name, help=command.help)
        if only in (None, name):
            command_parser = command.add(add_parser)
            command_parser.set_defaults(parser=command_parser)
        else:
            add_parser()
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    given = _command_first(sys.argv[1:] if argv is None else argv)
    if not given or _has_flags_only(given):
        given = ["status", "--brief", *given]
    named = next((word for word in given if not word.startswith("-")), "")
    given = _with_verb(given, named)
    arguments, unknown = make_parser(named).parse_known_args(given)
    if unknown and not _added(arguments, unknown):
        _refuse_unknown(arguments.parser, unknown)
    try:
        status: int = arguments.execute(arguments)
        sys.stdout.flush()
    except BaseException as error:
        from rediq_trio._errors.nursery import innermost

        failed = _failure(innermost(error))
        if failed is None:
            raise
        return failed
    return status


def run_process() -> int:
    """Run the command line of a process that ends with it, and return the exit status."""
    status = main()
    # All that is left ends with the process: it is not looked through for garbage once more.
    gc.freeze()
    return status


def _command_first(given: Sequence[str]) -> list[str]:
    """Move flags that all commands have, and that stand before the command, to the end."""
    first = 0
    while first < len(given) and given[first].partition("=")[0] in _BEFORE:
        first += 1 + (given[first] in _WITH_VALUE)
    if not 0 < first < len(given) or given[first] not in COMMANDS or "--" in given:
        return list(given)
    return [*given[first:], *given[:first]]


def _has_flags_only(given: Sequence[str]) -> bool:
    # `rediq --url URL` is `rediq` alone, of another server.
    help = {"-h", "--help", "--version"}
    return given[0].startswith("--") and not (help | COMMANDS.keys()) & set(given)


def _with_verb(given: list[str], named: str) -> list[str]:
    """Add the first verb of a command that may be called without one."""
    verbs = COMMANDS[named].verbs if named in COMMANDS else ()
    if not verbs or {*verbs, "-h", "--help"} & {*given}:
        return given
    after = given.index(named) + 1
    return [*given[:after], verbs[0], *given[after:]]


def _added(arguments: argparse.Namespace, unknown: Sequence[str]) -> bool:
    """Add words that came after a flag to the argument that takes several: argparse does not."""
    several = [
        action.dest
        for action in arguments.parser._actions
        if not action.option_strings and action.nargs in ("*", "+")
    ]
    if not several or any(word.startswith("-") for word in unknown):
        return False
    setattr(arguments, several[0], [*getattr(arguments, several[0]), *unknown])
    return True


def _refuse_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    known = re.findall(r"--[a-z][a-z-]+", parser.format_help())
    flags = (argument.partition("=")[0] for argument in unknown)
    hint = next((hint for flag in flags if (hint := did_you_mean(flag, known))), "")
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")


def _failure(error: BaseException) -> int | None:
    """Print what went wrong and return the exit status; return None for a bug."""
    match error:
        case RediqError():
            print(f"rediq: {shown(without_secrets(_explain(error)))}", file=sys.stderr)
            for note in getattr(error, "__notes__", ()):
                print(shown(note), file=sys.stderr)
            if isinstance(error, _NOT_THERE):
                return NOT_THERE
            return MISUSED if isinstance(error, _MISUSE) else FAILED
        case BrokenPipeError():
            # The reader of our output has ended. Python would report it again at its exit.
            sys.stdout = None
            return 1
        case OSError(errno=errno.EIO) if _is_terminal_gone():
            sys.stdout = sys.stderr = None
            return 1
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            return None


def _is_terminal_gone() -> bool:
    from rediq_trio.cli.process.terminal_end import has_ended

    return has_ended(1) or has_ended(2)


def _explain(error: RediqError) -> str:
    """Return an error as one line that says what to do next."""
    said = " ".join(str(error).split())
    if isinstance(error, PayloadTooLarge):
        return f"{said.rstrip('.')}. {_LARGE}"
    if isinstance(error, ServerRefused) and "READONLY" in said:
        return f"{said.rstrip('.')}. {_REPLICA}"
    for kind, hint in _NEXT:
        if isinstance(error, kind) and not isinstance(error, _MISUSE):
            said = said.rstrip(".")
            return f"{said}{'' if said.endswith('?') else '.'} {hint}"
    return said
