"""A client that is used after its block: refused at once, on each kind of client and each store."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ClientClosed, ConfigError, ConnectionLost, Task
from tests.clients.kinds import KINDS, done, listed
from tests.servers import Server

OPENERS = {
    "trio": "rediq.connect()",
    "asyncio": "rediq.asyncio.connect()",
    "blocking": "rediq.connect_sync()",
}


async def opened(client: Any) -> tuple[Any, Any]:
    """Use a client; return it with what it opened."""
    return client, await done(client.enqueue(Task("t")))


async def refusals(kind: str, client: Any, handle: Any) -> None:
    """Make calls on a client that is closed."""
    for call in (
        client.queues,
        lambda: client.enqueue(Task("t")),
        lambda: client.enqueue_many([Task("t")]),
        client.queue("default").stats,
        client.acting(who="me").queues,
        handle.info,
        handle.result,
        handle.cancel,
        lambda: listed(handle.progress()),
    ):
        with pytest.raises(
            ClientClosed, match="this client is closed: open another with "
        ) as found:
            await done(call())
        assert str(found.value).endswith(OPENERS[kind])
        assert isinstance(found.value, ConfigError)
        assert isinstance(found.value, ConnectionLost)
        assert not found.value.sent


@pytest.mark.parametrize("where", ["memory", "shared memory", "server"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_is_refused_after_its_block_and_does_not_wait(
    kind: str, where: str, request: pytest.FixtureRequest
) -> None:
    if where == "server":
        server: Server = request.getfixturevalue("redis_server")
        url = server.url
    else:
        url = "memory://" if where == "memory" else f"memory://{uuid.uuid4().hex}"
    kept: list[Any] = []

    async def scenario(client: Any) -> None:
        kept.extend(await opened(client))

    began = time.monotonic()
    if kind == "trio":

        async def main() -> None:
            async with rediq.connect(url) as client:
                await scenario(client)
            await refusals(kind, *kept)

        trio.run(main)
    else:
        KINDS[kind][0](scenario, url)
        run = refusals(kind, *kept)
        if kind == "blocking":
            with pytest.raises(StopIteration):
                run.send(None)
        else:
            from tests.clients.kinds import run_asyncio

            run_asyncio(lambda: run)
    assert time.monotonic() - began < 12  # the patience of a client is 15 s


async def test_other_clients_of_a_shared_store_go_on() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    async with rediq.connect(url) as other:
        async with rediq.connect(url) as client:
            handle = await client.enqueue(Task("t"))
        assert (await other.task(handle.id).info()).type == "t"
        with pytest.raises(ClientClosed):
            await handle.info()


async def test_what_waits_for_a_task_when_the_block_is_left_is_refused() -> None:
    errors: list[Exception] = []

    async def wait(handle: rediq.TaskHandle[Any]) -> None:
        with pytest.raises(ClientClosed) as found:
            await handle.result()
        errors.append(found.value)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, rediq.connect("memory://") as client:
            nursery.start_soon(wait, await client.enqueue(Task("t")))
            await trio.testing.wait_all_tasks_blocked()
    assert len(errors) == 1
