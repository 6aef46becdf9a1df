"""Nothing of the audit and of the marks can be read in Redis without the keys."""

from __future__ import annotations

from typing import Any

import rediq_trio as rediq
from rediq_trio import Encryption
from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.store.redis.keys import Keys
from tests.servers import Server, open_redis_store

SECRET = "a-name-that-nobody-may-read"
OLD, NEW = Encryption.generate_key(), Encryption.generate_key()


async def test_entries_and_marks_lie_encrypted_in_redis(redis_server: Server) -> None:
    async with open_redis_store(redis_server, prefix="secret") as opened:
        keys = opened.keys
        assert isinstance(keys, Keys)
        async with rediq.connect(opened.store, encryption=Encryption([OLD])) as client:
            person = client.acting(who=SECRET, tool=SECRET, where=SECRET)
            await person.queue("q").pause(SECRET, by=SECRET)
            await person.mark(SECRET)
            assert [entry.who for entry in await client.audit()] == [SECRET] * 2
        for logbook, count in ((Logbook.AUDIT, 2), (Logbook.MARKS, 1)):
            found: list[Any] = await opened.gateway.call(
                b"XRANGE", keys.logbooks[logbook], b"-", b"+"
            )
            raw = b"".join(part for _, fields in found for part in fields)
            assert len(found) == count
            assert SECRET.encode() not in raw
            assert b"Queue.pause" not in raw
        # Keys in rotation: what was written with the old one is read by whoever has both.
        async with rediq.connect(opened.store, encryption=Encryption([NEW, OLD])) as client:
            await client.mark("another", by=SECRET)
            assert [mark.by for mark in await client.marks()] == [SECRET] * 2
        async with rediq.connect(opened.store, encryption=Encryption([NEW])) as client:
            assert [mark.by for mark in await client.marks()] == [SECRET, "(unreadable)"]
            assert {entry.who for entry in await client.audit()} == {"(unreadable)"}
