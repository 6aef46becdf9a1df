"""streaq, on Trio or on asyncio with uvloop: `silent`, a `ttl` of 0 when results are off."""

from __future__ import annotations

from typing import Any

import anyio
from adapter import KEPT, NAP, Order, Task, produce, produce_trio, run_uvloop, take_order, tally
from streaq import Worker

order: Order = take_order()
worker: Any = Worker(
    redis_url=order.url,
    concurrency=order.concurrency,
    prefetch=order.concurrency,
    handle_signals=False,
    anyio_backend="trio" if order.variant == "trio" else "asyncio",
)
TTL = KEPT if order.results else 0


@worker.task(ttl=TTL, silent=True, name="noop")
async def noop(i: int) -> None:
    tally.begin()
    tally.end()


@worker.task(ttl=TTL, silent=True, name="stamp")
async def stamp(i: int) -> None:
    tally.stamp(i)


@worker.task(ttl=TTL, silent=True, name="nap")
async def nap(i: int) -> None:
    tally.begin()
    await anyio.sleep(NAP)
    tally.end()


@worker.task(ttl=TTL, silent=True, name="carry")
async def carry(text: str) -> None: ...


TASKS: dict[str, Any] = {"noop": noop, "stamp": stamp, "nap": nap, "carry": carry}


async def one(name: str, payload: dict[str, Any]) -> None:
    await TASKS[name].enqueue(**payload)


async def many(tasks: list[Task]) -> None:
    await worker.enqueue_many([TASKS[name].enqueue(**payload) for name, payload in tasks])


async def main() -> None:
    if order.role == "produce":
        async with worker:
            await (produce_trio if order.variant == "trio" else produce)(order, one, many)
    else:
        stream = worker.stream_key + worker.priorities[-1]
        order.unsettled(["XLEN", stream])
        await worker.run_async()


if order.variant == "trio":
    import trio

    trio.run(main)
else:
    run_uvloop(main)
