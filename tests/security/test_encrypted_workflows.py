"""Nothing of a workflow but its id, its time and its size can be read in Redis without the keys."""

from __future__ import annotations

import pytest

import rediq_trio as rediq
from rediq_trio import Encryption, PayloadError, Task
from tests.servers import Server, open_redis_store

SECRET = "a-name-that-nobody-may-read"
OLD, NEW = Encryption.generate_key(), Encryption.generate_key()


async def test_names_of_workflows_and_of_their_nodes_lie_encrypted_in_redis(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server, prefix="secret") as opened:
        async with rediq.connect(opened.store, encryption=Encryption([OLD])) as client:
            workflow: rediq.Workflow[object] = rediq.Workflow(SECRET)
            first = workflow.add(Task("a"), f"{SECRET} 1")
            workflow.add(Task("b"), f"{SECRET} 2", after=first)
            handle = await client.enqueue(workflow)
            assert (await client.workflow(handle.id)).name == SECRET
            assert (await handle.handles[f"{SECRET} 1"].info()).workflow == handle.id
        raw = b""
        for name in opened.keys.workflows.values():
            raw += await opened.gateway.call(b"DUMP", name) or b""
        records = await opened.gateway.call(b"HVALS", opened.keys.workflows["workflows"])
        assert len(records) == 1
        assert SECRET.encode() not in raw + records[0]
        assert handle.handles[f"{SECRET} 1"].id.encode() not in records[0]
        assert handle.id.encode() in raw
        tasks = await opened.gateway.call(b"HVALS", opened.keys.of("default", ("records",))[0])
        assert handle.id.encode() not in b"".join(tasks)
        # Keys in rotation: what was written with the old one is read by whoever has both.
        async with rediq.connect(opened.store, encryption=Encryption([NEW, OLD])) as client:
            assert [one.name for one in await client.workflows()] == [SECRET]
        async with rediq.connect(opened.store, encryption=Encryption([NEW])) as client:
            [status] = await client.workflows()
            assert (status.state, status.name, status.total) == ("unreadable", None, 0)
            with pytest.raises(PayloadError, match="key"):
                await client.workflow(handle.id)
