"""Commands that consist of a noun and a verb: `rediq queue pause`."""

from __future__ import annotations

import argparse
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import OperatorAct, operating_flags


@attrs.frozen
class Verbs:
    """The verbs of a noun."""

    _commands: Any

    @classmethod
    def of(cls, parser: argparse.ArgumentParser) -> Verbs:
        """Begin with the verbs of a parser; one must be given."""
        return cls(parser.add_subparsers(dest="verb", metavar="verb", required=True))

    def add(
        self,
        name: str,
        work: OperatorAct,
        help: str,
        *arguments: tuple[str, dict[str, Any]],
        changes: bool = False,
        destroys: bool = False,
    ) -> None:
        """Add a verb with its arguments, each a name or flag with the options of argparse."""
        said = f"{help[0].upper()}{help[1:]}."
        # No abbreviations: --limit, where there is none, would be --limit-key.
        parser: argparse.ArgumentParser = self._commands.add_parser(
            name, help=help, description=said, allow_abbrev=False
        )
        for flag, options in arguments:
            parser.add_argument(flag, **options)
        operating_flags(parser, work, changes=changes, destroys=destroys)
        parser.set_defaults(parser=parser)


QUEUE: tuple[str, dict[str, Any]] = ("queue", {"metavar": "QUEUE", "help": "the queue's name"})
QUEUES: tuple[str, dict[str, Any]] = (
    "queues",
    {"metavar": "QUEUE", "nargs": "*", "help": "names of queues (all)"},
)
TASK: tuple[str, dict[str, Any]] = (
    "task",
    {"metavar": "ID", "help": "the task's id, like emails/0192..."},
)
TASKS: tuple[str, dict[str, Any]] = (
    "tasks",
    {"metavar": "ID", "nargs": "+", "help": "ids of tasks; - reads them from standard input"},
)
LIMIT: tuple[str, dict[str, Any]] = (
    "--limit",
    {"metavar": "N", "type": int, "default": 20, "help": "how many, 1 to 1,000 (20)"},
)
NEWEST: tuple[str, dict[str, Any]] = (
    "--newest",
    {"action": "store_true", "help": "the newest first"},
)
AFTER: tuple[str, dict[str, Any]] = (
    "--after",
    {"metavar": "CURSOR", "help": "continue after this place: the last line of a page names it"},
)
LIST_MAX = 1_000
"""Rows of a list, at most."""


def check_count(flag: str, number: int) -> int:
    """Return how many rows were asked for; raise `ConfigError` for none, or too many."""
    if not 1 <= number <= LIST_MAX:
        raise ConfigError.of(flag, number, f"a whole number from 1 to {LIST_MAX:,}")
    return number
