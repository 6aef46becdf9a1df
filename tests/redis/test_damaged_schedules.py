"""Damaged schedules: they do not tick, can be replaced and removed, and stop no other."""

from __future__ import annotations

from typing import Any

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import NewTask, Schedule, Tick
from rediq_trio.store.redis.codec import pack_options
from tests.conformance.bench import START, Q, new
from tests.redis.conftest import Behind
from tests.redis.test_damage import pack

OPTIONS = pack_options(NewTask("", b""))
GOOD: list[Any] = [b"when", b"template", OPTIONS, b"app", 0, 0, 0, 0, b"", 1]
FINE = Schedule("fine", b"when", NewTask("", b"template"), next_ms=START)


def packed(at: int, value: object) -> bytes:
    return pack([*GOOD[:at], value, *GOOD[at + 1 :]])


BROKEN = {
    "empty": b"",
    "no msgpack": b"\xc1",
    "a number": b"\x07",
    "nil": b"\xc0",
    "too short": pack(GOOD[:-1]),
    "too long": pack([*GOOD, 1]),
    "times that are a number": packed(0, 5),
    "a template that is nil": packed(1, None),
    "options that are a number": packed(2, 5),
    "an owner that is a list": packed(3, [1]),
    "a pause that is text": packed(6, b"yes"),
    "a last tick that is text": packed(7, b"soon"),
    "a last task that is a number": packed(8, 5),
    "a revision that is text": packed(9, b"1"),
}
broken = pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)


async def damage(behind: Behind, raw: bytes) -> None:
    await behind.bench.store.declare(Q, schedule=FINE)
    await behind.raw("HSET", "schedules", "odd", raw)
    await behind.raw("ZADD", "ticks", START, "odd")


@broken
async def test_it_is_named_and_the_others_are_read(behind: Behind, raw: bytes) -> None:
    await damage(behind, raw)
    for due in (0, 9):
        found = await behind.bench.store.agenda(Q, due=due)
        assert ([s.name for s in found.schedules], found.unreadable) == (["fine"], ("odd",))


@broken
async def test_nothing_is_made_of_it(behind: Behind, raw: bytes) -> None:
    await damage(behind, raw)
    store = behind.bench.store
    given: dict[str, Any] = {"expected_ms": START, "revision": 1, "next_ms": START + 1}
    assert await store.tick(Q, name="odd", ticks=[Tick(START, new("t"))], **given) is None
    assert await store.trigger(Q, name="odd", task=new("t")) == ()
    assert not await store.suspend(Q, name="odd")
    assert not await store.reinstate(Q, name="odd", next_ms=START)
    assert await store.retract_others(Q, owner="app", names=[]) == ()
    assert await behind.bench.ids(State.PENDING) == []


@broken
async def test_it_can_be_removed(behind: Behind, raw: bytes) -> None:
    await damage(behind, raw)
    assert await behind.bench.store.retract(Q, names=["odd"]) == ("odd",)
    assert (await behind.bench.store.agenda(Q, due=9)).unreadable == ()


@broken
async def test_it_can_be_replaced(behind: Behind, raw: bytes) -> None:
    await damage(behind, raw)
    odd = Schedule("odd", b"when", NewTask("", b"template"), next_ms=START + 5)
    assert await behind.bench.store.declare(Q, schedule=odd)
    found = {s.name: s for s in (await behind.bench.store.agenda(Q)).schedules}
    assert (found["odd"].next_ms, found["odd"].revision) == (START + 5, 2)


async def test_a_tick_without_its_schedule_is_named(behind: Behind) -> None:
    await behind.raw("ZADD", "ticks", START, "gone")
    found = await behind.bench.store.agenda(Q, due=9)
    assert (found.schedules, found.unreadable) == ((), ("gone",))
