"""`rediq worker`: the workers, as of their last heartbeats."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import attrs

from rediq_trio._errors import did_you_mean
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.orders import add_orders
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import Verbs
from rediq_trio.cli.statuses import DONE, NotThere
from rediq_trio.observe.words import count, duration, relative, shown, size, when
from rediq_trio.values.chance import utc_now
from rediq_trio.values.task import WorkerInfo

WORKER_HEADS = ("worker", "host", "running", "started", "heard", "version", "queues")


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List and show the live workers, and give them orders.")
    verbs = Verbs.of(parser)
    verbs.add("list", list_workers, "list the live workers")
    verbs.add(
        "show", show, "show everything that a worker said",
        ("worker", {"metavar": "WORKER", "help": "the worker's id"}),
    )  # fmt: skip
    add_orders(verbs)
    return parser


async def list_workers(session: Session) -> int:
    workers = await session.client.workers()
    for worker in workers:
        session.out.object(attrs.asdict(worker, recurse=False))
    session.out.table(WORKER_HEADS, [row_of(worker) for worker in workers])
    if not workers:
        session.out.say("no worker is alive: start one with rediq run module:app")
    return DONE


def row_of(worker: WorkerInfo) -> tuple[str, ...]:
    """Return the cells of a worker."""
    return (
        cell(worker.id), cell(worker.host, 24), f"{worker.running}/{worker.concurrency}",
        relative(worker.started_at, utc_now()), relative(worker.last_heartbeat, utc_now()),
        cell(worker.version), shown(", ".join(worker.queues), 40),
    )  # fmt: skip


async def show(session: Session) -> int:
    workers = {worker.id: worker for worker in await session.client.workers()}
    name = session.arguments.worker
    if name not in workers:
        hint = did_you_mean(name, workers) or "; see 'rediq worker list'"
        raise NotThere(f"there is no live worker {shown(name)}{hint}")
    worker = workers[name]
    session.out.object(attrs.asdict(worker, recurse=False))
    types = "unknown" if worker.types is None else ", ".join(map(shown, worker.types)) or "none"
    session.out.fields(f"worker {shown(worker.id)}", [
        ("host", f"{cell(worker.host)}, process {worker.pid}"),
        ("version", cell(worker.version)),
        ("running", f"{count(worker.running)} of {count(worker.concurrency)}"),
        ("started", when(worker.started_at, utc_now())),
        ("heard", when(worker.last_heartbeat, utc_now())),
        ("queues", ", ".join(map(shown, worker.queues))),
        ("types", types),
        *_details(worker),
        *(("ran on after its timeout", cell(task)) for task in worker.stuck),
    ])  # fmt: skip
    for task in worker.running_tasks or ():
        percent = "" if task.percent is None else f", {task.percent:g} %"
        since = f"attempt {count(task.attempt)}, since {when(task.since, utc_now())}"
        session.out.say(f"runs {shown(task.id)} ({shown(task.type)}), {since}{percent}")
    return DONE


def _details(worker: WorkerInfo) -> Iterator[tuple[str, str]]:
    """Yield what workers of this version say, and older ones do not."""
    if worker.state is not None:
        yield "state", cell(worker.state)
    if worker.health is not None:
        health = worker.health
        alive = "alive" if health.alive else "not alive"
        yield "health", f"{alive}, {'ready' if health.ready else 'not ready'}"
        yield from (("", shown(reason)) for reason in health.reasons)
    if worker.loop_delay is not None:
        yield "loop delay", duration(worker.loop_delay)
    if worker.memory is not None:
        yield "memory", size(worker.memory)
    for name, value in (worker.labels or {}).items():
        yield "label", f"{shown(name)}={shown(value)}"
