"""Pauses of versions that know no notes: they write `paused`, and nothing else."""

from __future__ import annotations

from tests.conformance.bench import START, Q
from tests.redis.conftest import Behind


async def test_a_pause_of_an_older_version_has_neither_note_nor_time(behind: Behind) -> None:
    await behind.raw("HSET", "meta", "paused", "1", "batched", "5")
    found = (await behind.bench.store.stats(Q)).queue
    assert (found.paused, found.pause_note, found.paused_since_ms) == (True, b"", 0)
    assert found.counters.batched == 5
    await behind.bench.store.pause(Q, b"note")
    found = (await behind.bench.store.stats(Q)).queue
    assert (found.pause_note, found.paused_since_ms) == (b"note", 0)


async def test_what_an_older_version_resumes_shows_no_note(behind: Behind) -> None:
    await behind.bench.store.pause(Q, b"note")
    await behind.raw("HSET", "meta", "paused", "0")
    found = (await behind.bench.store.stats(Q)).queue
    assert (found.paused, found.pause_note, found.paused_since_ms) == (False, b"", 0)
    behind.bench.clock.advance(7)
    await behind.bench.store.pause(Q)
    found = (await behind.bench.store.stats(Q)).queue
    assert (found.pause_note, found.paused_since_ms) == (b"", START + 7)


async def test_an_older_pause_after_a_resume_shows_no_note(behind: Behind) -> None:
    await behind.bench.store.pause(Q, b"note")
    await behind.bench.store.resume(Q)
    await behind.raw("HSET", "meta", "paused", "1")
    found = (await behind.bench.store.stats(Q)).queue
    assert (found.paused, found.pause_note, found.paused_since_ms) == (True, b"", 0)
