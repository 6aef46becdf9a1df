"""Records as bytes."""

import attrs
import msgpack
import pytest

from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Answer, AnswerKind, Mail, MailKind, NewTask, Relations, Until
from rediq_trio.spec.records import Ending, Limit, Record
from rediq_trio.spec.stored_format import CODE_OF, MARKS, RECORD_FIELDS
from rediq_trio.store.redis.codec import (
    answer_of,
    pack_children,
    pack_mail,
    pack_options,
    pack_rate,
    read_ending,
    read_limit,
    read_mail,
    read_task,
    read_task_whole,
    state_of,
)
from rediq_trio.wire.packing import pack_for_lua, unpack

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"
RAW = [5, 50, 3, 2, 1000, 10, 11, 12, 13, b"", 1, 2, 3, 4, b"nonce", b"w", 1, 0, 14, 0, b"e\xff"]


def read(record: list[object], score: bytes = b"") -> Record | None:
    packed: bytes = msgpack.packb(record, use_bin_type=False)
    attempts = pack_for_lua([[1, 2, b"w", 15, 16, b"fail", b"detail"]])
    kept = [b"envelope", b"result", b"progress", b"\xa1s\x01", b"\xa4step\x02", attempts]
    return read_task_whole("t", [packed, *kept, score])


def test_a_record_is_decoded_with_what_its_index_says() -> None:
    assert read(RAW, b"1700000000000") == Record(
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
        has_waiters=False,
        started_ms=14,
        error="e\ufffd",
        result=b"result",
        progress=b"progress",
        inputs=(("s", b"\x01"),),
        steps=(("step", b"\x02"),),
        attempts=(StoredAttempt(1, 2, "w", 15, 16, "fail", b"detail"),),
    )


def test_an_envelope_is_the_records_or_kept_by_itself() -> None:
    at = RECORD_FIELDS.index("envelope")
    for carried, found in ((b"", b"envelope"), (b"carried", b"carried")):
        record = read([*RAW[:at], carried, *RAW[at + 1 :]])
        assert record is not None
        assert record.envelope == found


@pytest.mark.parametrize(("run", "due"), [(0, 10), (25, 25)])
def test_a_record_to_which_nothing_has_happened_is_short(run: int, due: int) -> None:
    short = read([4, 50, 3, 2, 1000, 10, run, 0, 13, b"carried"])
    assert short == Record(
        id="t",
        envelope=b"carried",
        state=State.PENDING,
        priority=50,
        max_retry=3,
        max_crashes=2,
        retention_ms=1000,
        created_ms=10,
        run_ms=due,
        seq=13,
        result=b"result",
        progress=b"progress",
        inputs=(("s", b"\x01"),),
        steps=(("step", b"\x02"),),
        attempts=(StoredAttempt(1, 2, "w", 15, 16, "fail", b"detail"),),
    )


def test_only_a_settled_task_is_purged_at_its_score() -> None:
    for state in State:
        found = read([CODE_OF[state], *RAW[1:]], b"17")
        assert found is not None
        assert found.purge_ms == (17 if state in (State.COMPLETED, State.CANCELLED) else 0)
        assert found.lease_ms == (17 if state is State.ACTIVE else 0)


@pytest.mark.parametrize("code", [0, -1, 10, 1000])
def test_a_state_that_is_none_cannot_be_decoded(code: int) -> None:
    assert read([code, *RAW[1:]]) is None


@pytest.mark.parametrize("at", range(len(RAW)))
def test_a_field_of_another_type_cannot_be_decoded(at: int) -> None:
    others: list[object] = [None, True, 1.5, [], b"" if isinstance(RAW[at], int) else 5]
    for value in others:
        assert read([*RAW[:at], value, *RAW[at + 1 :]]) is None


@pytest.mark.parametrize("raw", [b"\xc1", b"x", b"\xc0", b"\x90", b"\xdc\x00\x14\x01", b"\x80"])
def test_bytes_that_are_no_record_cannot_be_decoded(raw: bytes) -> None:
    assert read_task_whole("t", [raw, *[b""] * 7]) is None


TIED = [*RAW[:17], 0, *RAW[18:], [b"key", 2, 1, b"lane", b"group", 3, 1]]


def test_a_record_with_ties_is_decoded_with_them() -> None:
    record = read(TIED)
    assert record is not None
    assert (record.unique, record.until, record.owns_unique_key) == ("key", Until.STARTED, True)
    assert (record.limit_key, record.group) == ("lane", "group")
    assert (record.waits, record.run_on_dependency_failure) == (3, True)


@pytest.mark.parametrize("at", range(7))
def test_a_tie_of_another_type_cannot_be_decoded(at: int) -> None:
    relations = TIED[21]
    assert isinstance(relations, list)
    for value in (None, 1.5, [], b"" if isinstance(relations[at], int) else 5):
        record = [*TIED[:21], [*relations[:at], value, *relations[at + 1 :]]]
        assert read(record) is None


@pytest.mark.parametrize(
    "relations", [None, 5, b"", [], TIED[21][:-1], [*TIED[21], 1], [b"", 4, 0, b"", b"", 0, 0]]
)
def test_ties_that_are_none_cannot_be_decoded(relations: object) -> None:
    assert read([*TIED[:21], relations]) is None
    assert read([*TIED, 1]) is None


@pytest.mark.parametrize("mark", MARKS)
def test_each_mark_is_one_bit(mark: str) -> None:
    record = read([*RAW[:17], MARKS[mark], *RAW[18:]])
    assert record is not None
    assert {name for name in MARKS if getattr(record, name)} == {mark}


@pytest.mark.parametrize(
    "mail",
    [
        Mail(5, "q", MailKind.SUBSCRIBE, id="a", ref="b"),
        Mail(6, "q", MailKind.ENDED, id=UUID7, ref="b", ended_as=State.COMPLETED, result=b"\x01"),
        Mail(7, "q", MailKind.ENDED, id="a", ref=UUID7, ended_as=None),
        Mail(8, "q", MailKind.TASK, task=NewTask("t", b"e", 1, 2, 3, 4, 5, 6, 7, 8)),
        Mail(9, "q", MailKind.TASK, task=NewTask(UUID7, b"e", relations=Relations(
            unique="ü", until=Until.EXPIRED, ttl_ms=5, replace=True, limit_key="l", group="g",
            run_on_dependency_failure=True, needs=("a", UUID7, f"o/{UUID7}"),
            needs_later=("o/b",), dependents=("c",),
        ))),
    ],
)  # fmt: skip
def test_a_message_comes_back_as_it_was_packed(mail: Mail) -> None:
    assert read_mail(pack_mail(mail)) == mail


def test_a_task_in_an_outbox_does_not_name_its_receiver_twice() -> None:
    sent = NewTask("t", b"e", relations=Relations(queue="q", needs=("a",)))
    mail = Mail(8, "q", MailKind.TASK, task=sent)
    assert read_mail(pack_mail(mail)).task == attrs.evolve(sent, relations=Relations(needs=("a",)))


def test_children_are_packed_as_id_envelope_and_options_in_turn() -> None:
    children = [NewTask("a", b"e"), NewTask(UUID7, b"f", relations=Relations(queue="q"))]
    found = unpack(pack_children(children), texts=False)
    assert [read_task(*found[:3]), read_task(*found[3:])] == children
    assert pack_children([]) == b""


def test_an_ending_is_read() -> None:
    packed = pack_for_lua((3, pack_id(UUID7), CODE_OF[State.DEAD], b"r"))
    assert read_ending(packed) == Ending(UUID7, State.DEAD, b"r")
    assert read_ending(pack_for_lua((3, b"t", 0, b""))) == Ending("t", None)


@pytest.mark.parametrize("limit", [Limit(), Limit(2), Limit(0, 3, 1000, 5), Limit(1, 2, 3, 4)])
def test_a_limit_is_read_as_the_script_keeps_it(limit: Limit) -> None:
    rate = unpack(pack_rate(limit.count, limit.period_ms, limit.burst))
    assert read_limit(pack_for_lua((limit.concurrency, *rate))) == limit
    assert unpack(pack_rate(0, 0, 1))[0] == 0
    assert pack_rate(None, 0, 1) == b""


def test_an_answer_is_a_state_or_says_why_not() -> None:
    assert answer_of(4) is State.PENDING
    assert answer_of(0) is None
    taken = Answer(AnswerKind.TAKEN, UUID7)
    assert answer_of([1, pack_id(UUID7), 0]) == taken
    replaced = Answer(AnswerKind.REPLACED, "t", State.SCHEDULED)
    assert answer_of([2, b"t", 1]) == replaced
    assert answer_of([4, b"o/" + pack_id(UUID7), 0]) == Answer(AnswerKind.MISSING, f"o/{UUID7}")


@pytest.mark.parametrize("state", State)
def test_the_code_of_a_state_gives_it_back(state: State) -> None:
    assert state_of(CODE_OF[state]) is state


def test_the_code_0_is_no_state() -> None:
    assert state_of(0) is None


def test_the_options_of_a_task_are_packed_in_the_order_that_enqueue_reads() -> None:
    task = NewTask("t", b"", 1, 2, 3, 4, 5, 6, 7, 8)
    assert msgpack.unpackb(pack_options(task)) == [1, 2, 3, 4, 5, 6, 7, 8]
