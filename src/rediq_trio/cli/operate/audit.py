"""`rediq audit`: what people did through tools."""

from __future__ import annotations

import argparse
import re

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session, operating_flags
from rediq_trio.cli.operate.verbs import LIMIT, check_count
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import count, instant, shown
from rediq_trio.values.observed.audit import AuditEntry

_COLUMNS = ("when", "who", "tool", "what", "selection", "#", "outcome")
SELECTION_MAX, OUTCOME_MAX = 60, 60
"""Characters that a table shows of a selection, and of what became of a change."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="List what people did through tools, the newest first: the last 10,000 changes.",
    )
    flag, options = LIMIT
    parser.add_argument(flag, **options)
    parser.add_argument(
        "--after", metavar="ID", help="go on after this entry: the last line of a page says which"
    )
    parser.add_argument("--oldest", action="store_true", help="begin with the oldest")
    operating_flags(parser, list_audit)
    return parser


async def list_audit(session: Session) -> int:
    options = session.arguments
    check_count("--limit", options.limit)
    if options.after is not None and not re.fullmatch(r"\d{1,20}-\d{1,20}", options.after):
        bound = "the id of an entry, as the last line of a page has it, like 1700000000000-0"
        raise ConfigError.of("--after", options.after, bound)
    entries = await session.client.audit(
        newest=not options.oldest, limit=options.limit, after=options.after
    )
    for entry in entries:
        session.out.object(attrs.asdict(entry, recurse=False))
    session.out.table(_COLUMNS, [row_of(entry) for entry in entries])
    if not entries:
        session.out.say("no entries: programs leave none, commands and tools leave one each")
    elif len(entries) == options.limit:
        session.out.say(f"next page: --after {entries[-1].id}")
    return DONE


def row_of(entry: AuditEntry) -> tuple[str, ...]:
    """Return the cells of an entry."""
    selection = " ".join(f"{name}={value}" for name, value in entry.selection.items())
    outcome = f"{entry.outcome}: {entry.detail}" if entry.detail else entry.outcome
    who = f"{entry.who} from {entry.where}" if entry.where else entry.who
    return (
        instant(entry.at), shown(who, 40), cell(entry.tool, 12), shown(entry.what, 30),
        cell(selection, SELECTION_MAX), "-" if entry.count is None else count(entry.count),
        shown(outcome, OUTCOME_MAX),
    )  # fmt: skip
