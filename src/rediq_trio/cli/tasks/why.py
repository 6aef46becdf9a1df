"""`rediq task why`: why a task waits, or how it ended."""

from __future__ import annotations

from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.as_json import plain


async def explain_task(session: Session) -> int:
    """Print why a task waits: one clause on a line."""
    why = await session.client.task(session.arguments.task).why()
    session.out.object(plain(why))
    session.out.say(f"{why.task_id} is {why.state}")
    for part in why.parts:
        session.out.say(f"  {part.sentence}")
    return DONE
