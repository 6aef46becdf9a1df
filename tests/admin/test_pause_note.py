from __future__ import annotations

import datetime as dt

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, Encryption, MemoryStore
from rediq_trio.spec.records import QueueState
from rediq_trio.tasks.pause_note import (
    PAUSE_BY_MAX,
    PAUSE_REASON_MAX,
    pack_pause_note,
    read_pause_note,
)
from rediq_trio.tasks.task_info import make_queue_stats

HOSTILE = "\x1b]0;pwned\x07 \u202eabc\x00 {red} \U0001f600\r\n"


async def test_who_paused_a_queue_and_why_and_since_when_is_read() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        begun = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        await queue.pause("the mail server is down", by="ada")
        stats = await queue.stats()
        assert (stats.paused_by, stats.paused_reason) == ("ada", "the mail server is down")
        assert stats.paused_since is not None
        assert begun <= stats.paused_since <= begun + dt.timedelta(seconds=60)
        await queue.resume()
        stats = await queue.stats()
        assert (stats.paused_by, stats.paused_reason, stats.paused_since) == ("", "", None)


async def test_any_text_is_kept_as_it_is() -> None:
    async with rediq.connect(MemoryStore()) as client:
        queue = client.queue("q")
        await queue.pause(HOSTILE, by=HOSTILE)
        stats = await queue.stats()
        assert (stats.paused_by, stats.paused_reason) == (HOSTILE, HOSTILE)
        await queue.pause("x" * PAUSE_REASON_MAX, by="y" * PAUSE_BY_MAX)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"reason": "x" * (PAUSE_REASON_MAX + 1)},
            r"^reason='xxx.*: must be text of 0 to 1,000 char",
        ),
        ({"by": "x" * (PAUSE_BY_MAX + 1)}, r"^by='xxx.*: must be text of 0 to 128 characters"),
        ({"reason": 5}, r"^reason=5: must be text of 0 to 1,000 characters"),
        ({"by": "\ud800"}, r"^by='\\ud800': must be text .* without surrogates"),
    ],
)
async def test_a_note_that_is_refused_pauses_nothing(given: dict[str, str], message: str) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=message):
            await client.queue("q").pause(**given)
        assert not (await client.queue("q").stats()).paused


async def test_every_partition_has_the_note_and_the_last_pause_counts() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        queue = client.queue("q")
        await queue.partition(2)
        await queue.pause("first", by="ada")
        for name in ("q~0", "q~1"):
            assert make_queue_stats(await store.stats(name)).paused_by == "ada"
        assert (await queue.stats()).paused_reason == "first"
        await store.resume("q~0")
        assert (await queue.stats()).paused_reason == ""


def test_a_note_that_cannot_be_read_says_so() -> None:
    assert read_pause_note(b"") == ("", "")
    for damaged in (b"\xc1", b"\x91\xa1a", b"\x05"):
        assert read_pause_note(damaged) is None
    assert read_pause_note(pack_pause_note("a", "b")) == ("a", "b")
    assert pack_pause_note("", "") == b""


async def test_a_note_is_encrypted() -> None:
    store, keys = MemoryStore(), [Encryption.generate_key()]
    async with rediq.connect(store, encryption=Encryption(keys)) as client:
        await client.queue("q").pause("secret", by="ada")
        assert (await client.queue("q").stats()).paused_reason == "secret"
        held: QueueState = await store.dump("q")
        assert held.pause_note
        assert b"secret" not in held.pause_note
        assert b"ada" not in held.pause_note
        async with rediq.connect(store) as without:
            assert (await without.queue("q").stats()).paused_reason == "(unreadable)"
