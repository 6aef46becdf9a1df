"""What is kept of attempts is encrypted: for those with a key it is there, for others it is missing."""

from __future__ import annotations

import pytest

import rediq_trio as rediq
from rediq_trio import Encryption, MemoryStore, Snooze
from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.messages import Outcome, Released
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.tasks.attempts import make_attempt

MARK = "the-marker-that-nobody-may-read"
OLD, NEW = Encryption.generate_key(), Encryption.generate_key()

app = rediq.App("encrypted_attempts", redact=lambda text: rediq.ErrorText(text.type, MARK, MARK))


calls: list[str] = []


@app.task("fails", max_retry=1, backoff=rediq.Fixed(0))
async def fails() -> None:
    calls.append("fails")
    if len(calls) == 1:
        raise Snooze(0)
    raise ValueError("no")


async def stored(store: MemoryStore) -> tuple[StoredAttempt, ...]:
    (record,) = (await store.dump("default")).records.values()
    return record.attempts


async def test_errors_of_attempts_are_encrypted_and_read_with_any_of_the_keys() -> None:
    store = MemoryStore()
    calls.clear()
    async with rediq.serve(app, store, encryption=Encryption([OLD])) as server:
        handle = await server.client.enqueue(fails.task())
        info = await handle.wait(timeout=20)
    assert [(one.message, one.traceback) for one in info.attempts] == [
        (None, None), (MARK, MARK), (MARK, MARK),
    ]  # fmt: skip
    assert all(MARK.encode() not in one.detail for one in await stored(store))
    async with rediq.connect(store, encryption=Encryption([NEW, OLD])) as client:
        assert (await client.task(info.id).info()).attempts == info.attempts
    async with rediq.connect(store, encryption=Encryption([NEW])) as client:
        attempt = (await client.task(info.id).info()).attempts[-1]
    assert (attempt.error_type, attempt.message, attempt.traceback) == (None, None, None)
    assert "encrypted with a key that is not among those given" in (attempt.unreadable or "")
    async with rediq.connect(store) as client:
        attempt = (await client.task(info.id).info()).attempts[-1]
    assert "this process has no keys" in (attempt.unreadable or "")
    assert attempt.outcome == "failed"


async def test_an_attempt_cannot_be_moved_to_another_task() -> None:
    store = MemoryStore()
    async with rediq.serve(app, store, encryption=Encryption([OLD])) as server:
        await (await server.client.enqueue(fails.task())).wait(timeout=20)
        (record,) = (await store.dump("default")).records.values()
        decrypted = encrypt_store(store, Encryption([OLD]))
        assert (await decrypted.get("default", [record.id]))[0] is not None
        moved = Encryption([OLD])
        with pytest.raises(rediq.PayloadError, match="belongs to another task"):
            moved.decrypt(record.attempts[-1].detail, "attempt", "default/another")
    assert make_attempt(record.attempts[-1]).unreadable


async def test_a_release_is_encrypted_too() -> None:
    store = MemoryStore()
    encrypted = encrypt_store(store, Encryption([OLD]))
    async with rediq.connect(store, encryption=Encryption([OLD])) as client:
        await client.enqueue(fails.task())
    claimed = await encrypted.claim("default", limit=1, lease_ms=1000, worker="w", nonce=b"n" * 8)
    outcomes: list[Outcome] = [Released(claimed.leases[0].fence, MARK.encode())]
    await encrypted.settle("default", outcomes)
    (attempt,) = await stored(store)
    assert attempt.detail
    assert MARK.encode() not in attempt.detail
