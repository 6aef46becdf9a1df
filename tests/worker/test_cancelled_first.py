"""A cancel that comes before, or at the same time as, the claim: what is cancelled never runs."""

from __future__ import annotations

import uuid

import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.servers import Server
from tests.worker.twin import check_sound, twins


async def test_what_is_cancelled_while_no_worker_is_there_never_runs(redis_server: Server) -> None:
    app = rediq.App()
    ran: list[int] = []

    @app.task("job", retention=3600)
    async def job(n: int) -> None:
        ran.append(n)

    prefix = f"first-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        handles = await client.enqueue_many([job.task(n) for n in range(20)])
        for handle in handles[::2]:
            assert await handle.cancel() is State.CANCELLED
            assert (await handle.wait(timeout=60)).state is State.CANCELLED
    async with twins(app, redis_server, key_prefix=prefix) as (client, _):
        for handle in handles[1::2]:
            assert (await client.task(handle.id).wait(timeout=60)).state is State.COMPLETED
        assert (await client.queue("default").stats()).cancelled == 10
        await check_sound(client)
    assert sorted(ran) == list(range(1, 20, 2))


async def test_of_cancels_that_race_with_claims_none_that_was_cancelled_ran(
    redis_server: Server,
) -> None:
    app = rediq.App()
    begun: set[int] = set()

    @app.task("job", retention=3600)
    async def job(n: int) -> None:
        begun.add(n)
        await trio.lowlevel.checkpoint()

    answers: dict[int, State] = {}
    async with twins(app, redis_server) as (client, _):

        async def enqueue_and_cancel(n: int) -> None:
            handle = await client.enqueue(job.task(n))
            answers[n] = await handle.cancel()
            assert (await handle.wait(timeout=60)).state in (State.CANCELLED, State.COMPLETED)

        async with trio.open_nursery() as nursery:
            for n in range(200):
                nursery.start_soon(enqueue_and_cancel, n)
        await check_sound(client)
    cancelled_first = {n for n, state in answers.items() if state is State.CANCELLED}
    assert cancelled_first & begun == set()
    assert len(answers) == 200
