"""A pause and its note."""

from .bench import START, Bench, Q

NOTE = b"\x93\x00\x1b[31m\xff any bytes"


async def test_a_pause_keeps_its_note_and_its_time_until_the_resume(bench: Bench) -> None:
    bench.clock.advance(7)
    await bench.store.pause(Q, NOTE)
    bench.clock.advance(7)
    for found in (await bench.dump(), (await bench.store.stats(Q)).queue):
        assert (found.paused, found.pause_note, found.paused_since_ms) == (True, NOTE, START + 7)
    await bench.store.resume(Q)
    for found in (await bench.dump(), (await bench.store.stats(Q)).queue):
        assert (found.paused, found.pause_note, found.paused_since_ms) == (False, b"", 0)


async def test_another_pause_replaces_the_note_and_not_the_time(bench: Bench) -> None:
    await bench.store.pause(Q, NOTE)
    bench.clock.advance(7)
    await bench.store.pause(Q, b"other")
    found = (await bench.store.stats(Q)).queue
    assert (found.pause_note, found.paused_since_ms) == (b"other", START)
    await bench.store.pause(Q)
    assert (await bench.store.stats(Q)).queue.pause_note == b""


async def test_a_pause_after_a_resume_has_a_time_of_its_own(bench: Bench) -> None:
    await bench.store.pause(Q, NOTE)
    await bench.store.resume(Q)
    bench.clock.advance(7)
    await bench.store.pause(Q)
    found = (await bench.store.stats(Q)).queue
    assert (found.pause_note, found.paused_since_ms) == (b"", START + 7)


async def test_a_flush_leaves_the_note(bench: Bench) -> None:
    await bench.store.pause(Q, NOTE)
    await bench.store.flush(Q)
    assert (await bench.store.stats(Q)).queue.pause_note == NOTE
