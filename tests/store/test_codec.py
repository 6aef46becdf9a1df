"""Records as bytes."""

import msgpack
import pytest

from rediq_trio.spec.invariants import Picture
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import NewTask, Record
from rediq_trio.store.codec import CODE_OF, decode_picture, pack_options, state_of

RAW = [5, 50, 3, 2, 1000, 10, 11, 12, 13, 1, 2, 3, 4, b"nonce", b"w", 1, 0, 14, 0, b"e\xff"]
NOWHERE = [b""] * 7


def reply(record: list[object], scores: list[bytes]) -> list[bytes]:
    packed: bytes = msgpack.packb(record, use_bin_type=False)
    return [packed, b"envelope", b"result", b"progress", b"", *scores]


def test_a_record_is_decoded_with_what_its_index_says() -> None:
    scores = [*NOWHERE[:3], b"1700000000000", *NOWHERE[:3]]
    record = Record(
        id="t",
        envelope=b"envelope",
        state=State.ACTIVE,
        priority=50,
        max_retry=3,
        max_crashes=2,
        retention_ms=1000,
        created_ms=10,
        run_ms=11,
        expires_ms=12,
        seq=13,
        attempt=1,
        deliveries=2,
        crashes=3,
        snoozes=4,
        nonce=b"nonce",
        lease_ms=1_700_000_000_000,
        worker="w",
        cancel=True,
        waited=False,
        started_ms=14,
        error="e\ufffd",
        result=b"result",
        progress=b"progress",
    )
    picture = Picture("t", record, {State.ACTIVE: 1_700_000_000_000}, None)
    assert decode_picture("t", reply(RAW, scores)) == picture


@pytest.mark.parametrize("code", [0, -1, 10, 1000])
def test_a_state_that_is_none_cannot_be_decoded(code: int) -> None:
    assert decode_picture("t", reply([code, *RAW[1:]], NOWHERE)).record is None


@pytest.mark.parametrize("at", range(len(RAW)))
def test_a_field_of_another_type_cannot_be_decoded(at: int) -> None:
    others: list[object] = [None, True, 1.5, [], b"" if isinstance(RAW[at], int) else 5]
    for value in others:
        assert (
            decode_picture("t", reply([*RAW[:at], value, *RAW[at + 1 :]], NOWHERE)).record is None
        )


@pytest.mark.parametrize("raw", [b"\xc1", b"x", b"\xc0", b"\x90", b"\xdc\x00\x14\x01", b"\x80"])
def test_bytes_that_are_no_record_cannot_be_decoded(raw: bytes) -> None:
    assert decode_picture("t", [raw, b"e", b"", b"", b"", *NOWHERE]).record is None


def test_a_score_beyond_32_bits_is_exact() -> None:
    scores = [b"3553621580972033", *NOWHERE[:6]]
    assert decode_picture("t", reply(RAW, scores)).indexes == {State.PENDING: 3553621580972033}


@pytest.mark.parametrize("state", State)
def test_the_code_of_a_state_gives_it_back(state: State) -> None:
    assert state_of(CODE_OF[state]) is state


def test_the_code_0_is_no_state() -> None:
    assert state_of(0) is None


def test_the_options_of_a_task_are_packed_in_the_order_that_enqueue_reads() -> None:
    task = NewTask("t", b"", 1, 2, 3, 4, 5, 6, 7, 8)
    assert msgpack.unpackb(pack_options(task)) == [1, 2, 3, 4, 5, 6, 7, 8]
