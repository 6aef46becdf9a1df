"""`rediq mark`: a mark in the charts, and the marks that there are."""

from __future__ import annotations

import argparse

import attrs

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session, operating_flags
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import instant, shown


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Make a mark in the charts, like a deployment; without TEXT, list the last 200.",
    )
    parser.add_argument(
        "text", metavar="TEXT", nargs="?", help="what happens now, 1 to 200 characters"
    )
    operating_flags(parser, mark)
    return parser


async def mark(session: Session) -> int:
    text = session.arguments.text
    if text is None:
        return await _list_marks(session)
    made = await session.client.mark(text)
    session.out.object(attrs.asdict(made, recurse=False))
    session.out.say(f"marked {instant(made.at)}: {shown(made.text)}")
    return DONE


async def _list_marks(session: Session) -> int:
    marks = await session.client.marks()
    for each in marks:
        session.out.object(attrs.asdict(each, recurse=False))
    rows = [(instant(each.at), cell(each.by, 40), shown(each.text)) for each in marks]
    session.out.table(("when", "who", "mark"), rows)
    if not marks:
        session.out.say("no marks: make one with rediq mark TEXT")
    return DONE
