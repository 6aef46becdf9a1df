"""The envelope of a batch: read as it was packed, and refused where it is broken."""

from __future__ import annotations

import datetime as dt

import attrs
import msgpack
import pytest

from rediq_trio import PayloadError, State
from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.records import Record
from rediq_trio.tasks.task_info import UNREADABLE_TEXT, make_task_info
from rediq_trio.values.backoff import DEFAULT_BACKOFF
from rediq_trio.wire.batch_envelope import is_batch, open_batch, open_member, read_envelope, size_of
from rediq_trio.wire.envelope import pack_envelope

ENVELOPE = pack_envelope("notify", b"\x80", 30.0, DEFAULT_BACKOFF, {"k": "v"}, deadline_ms=5)
SIZES = (0, 1, 31, 32, 255, 256, 65_535, 65_536)


def record(task_id: str = "a", **changes: object) -> Record:
    fields: dict[str, object] = {
        "envelope": ENVELOPE, "state": State.GROUPED, "priority": 50, "max_retry": 3,
        "max_crashes": 3, "retention_ms": 1000, "created_ms": 1, "run_ms": 1,
    }  # fmt: skip
    return Record(task_id, **fields | changes)  # type: ignore[arg-type]


def member(task_id: str = "a", envelope: bytes = ENVELOPE) -> BatchMember:
    return BatchMember(task_id, envelope, 50, 3, 3, 1000)


def pack_batch(group: str, members: list[BatchMember]) -> bytes:
    """Pack a batch as the scripts do."""
    packed: bytes = msgpack.packb(
        [2, group, [attrs.astuple(one) for one in members]], use_bin_type=False
    )
    return packed


@pytest.mark.parametrize("size", SIZES)
def test_an_envelope_of_any_length_is_read_as_it_was(size: int) -> None:
    batch = BatchEnvelope("g", (member(envelope=b"\xff" * size), member("b")))
    assert open_batch(pack_batch("g", [*batch.members])) == batch
    assert size_of(batch) == size + len(ENVELOPE)


@pytest.mark.parametrize("count", [1, 15, 16, 1000])
def test_any_number_of_members_is_read(count: int) -> None:
    packed = pack_batch("grüße", [member(f"m{n}") for n in range(count)])
    assert is_batch(packed)
    batch = open_batch(packed)
    assert (batch.group, len(batch.members)) == ("grüße", count)


GOOD = [b"a", ENVELOPE, 50, 3, 3, 1000]
BROKEN = {
    "cut short": pack_batch("g", [member()])[:-1],
    "more behind it": pack_batch("g", [member()]) + b"\x00",
    "no members": msgpack.packb([2, b"g", []], use_bin_type=False),
    "members are a number": msgpack.packb([2, b"g", 7], use_bin_type=False),
    "a member is a text": msgpack.packb([2, b"g", [b"abcdef"]], use_bin_type=False),
    "a member is short": msgpack.packb([2, b"g", [GOOD[:-1]]], use_bin_type=False),
    "a member is long": msgpack.packb([2, b"g", [[*GOOD, 1]]], use_bin_type=False),
    "a priority is a text": msgpack.packb(
        [2, b"g", [[*GOOD[:2], b"5", 3, 3, 1]]], use_bin_type=False
    ),
    "an envelope is nil": msgpack.packb([2, b"g", [[b"a", None, 5, 3, 3, 1]]], use_bin_type=False),
    "the group is a number": msgpack.packb([2, 5, [GOOD]], use_bin_type=False),
    "the group is no text": msgpack.packb([2, b"\xff", [GOOD]], use_bin_type=False),
    "an extension": b"\x93\x02\xa1g\x91\xd4\x01\x00",
    "only a beginning": b"\x93\x02",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_batch_is_refused_and_shown_as_unreadable(name: str) -> None:
    packed = BROKEN[name]
    assert is_batch(packed)
    with pytest.raises(PayloadError, match="batch cannot be decoded"):
        open_batch(packed)
    assert read_envelope(packed) == packed
    info = make_task_info("q", record("x", envelope=packed, state=State.DEAD))
    assert (info.type, info.members, info.group) == (UNREADABLE_TEXT, (), None)


def test_a_batch_is_described_by_its_first_member() -> None:
    batch = BatchEnvelope("g", (member("a"), member("b")))
    info = make_task_info("q", record("x", envelope=batch, expires_ms=9))
    assert (info.type, info.group, info.members) == ("notify", "g", ("q/a", "q/b"))
    assert (info.metadata, info.deadline, info.depends_on) == ({}, None, ())
    assert info.created_at == dt.datetime.fromtimestamp(0.001, dt.UTC)


def test_a_batch_whose_members_cannot_be_read_says_who_they_are() -> None:
    batch = BatchEnvelope("g", (member("a", b"junk"),))
    info = make_task_info("q", record("x", envelope=batch))
    assert (info.type, info.group, info.members) == (UNREADABLE_TEXT, "g", ("q/a",))


def test_a_member_that_cannot_be_read_is_named() -> None:
    with pytest.raises(PayloadError, match="member a: envelope cannot be decoded"):
        open_member(member("a", b"junk"))
