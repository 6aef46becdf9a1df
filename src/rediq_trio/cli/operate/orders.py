"""`rediq worker quiet`, `work`, `stop` and `stacks`: orders to one live worker."""

from __future__ import annotations

from typing import Any

from rediq_trio.cli.operate.session import Session, time_flag
from rediq_trio.cli.operate.verbs import Verbs
from rediq_trio.cli.statuses import DONE
from rediq_trio.observe.words import counted, duration, shown

_ORDERED: tuple[str, dict[str, Any]] = (
    "worker",
    {"metavar": "WORKER", "help": "the worker's id, or its instance if several have the id"},
)
_STOP_GRACE: tuple[str, dict[str, Any]] = (
    "--grace",
    {"metavar": "TIME", "type": time_flag, "help": "how long running handlers have (its setting)"},
)


def add_orders(verbs: Verbs) -> None:
    """Add the verbs that order a worker to do something."""
    verbs.add("quiet", quiet, "let a worker claim no more tasks and finish those it has", _ORDERED)
    verbs.add("work", work, "let a quiet worker claim tasks again", _ORDERED)
    verbs.add("stop", stop, "stop a worker gracefully", _ORDERED, _STOP_GRACE, destroys=True)
    verbs.add("stacks", stacks, "show where the running attempts of a worker are", _ORDERED)


async def quiet(session: Session) -> int:
    worker = session.client.worker(session.arguments.worker)
    await worker.quiet()
    return session.done(f"{shown(worker.id)} claims no more tasks", worker=worker.id, state="quiet")


async def work(session: Session) -> int:
    worker = session.client.worker(session.arguments.worker)
    await worker.work()
    return session.done(f"{shown(worker.id)} claims tasks", worker=worker.id, state="working")


async def stop(session: Session) -> int:
    worker = session.client.worker(session.arguments.worker)
    info = await worker.info()
    grace = session.arguments.grace
    some = f"stop {shown(worker.id)}, which runs {counted(info.running, 'attempt')}"
    if not await session.agreed(some if grace is None else f"{some}, within {duration(grace)}"):
        return DONE
    await worker.stop(grace=grace)
    return session.done(f"{shown(worker.id)} is stopping", worker=worker.id, state="stopping")


async def stacks(session: Session) -> int:
    worker = session.client.worker(session.arguments.worker)
    found = await worker.stacks()
    for task, text in found.items():
        session.out.object({"task": task, "stacks": text})
        session.out.say(shown(task))
        for line in text.splitlines():
            session.out.say(f"  {shown(line)}")
    if not found:
        session.out.say(f"{shown(worker.id)} runs no attempt")
    return DONE
