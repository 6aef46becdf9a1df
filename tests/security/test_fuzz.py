"""Payloads that nobody would send: each runs or is refused, and nothing else is disturbed."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rediq_trio as rediq
from benchmarks.payloads import Maker
from rediq_trio import Encryption, PayloadError, PayloadTooLarge
from rediq_trio.handlers.steps import read_inputs
from rediq_trio.store.redis.codec import read_schedule
from rediq_trio.tasks.prepare import prepare
from rediq_trio.tasks.task_info import UNREADABLE_TEXT, make_task_info
from rediq_trio.wire.batch_envelope import is_batch, open_batch
from rediq_trio.wire.envelope import (
    ENVELOPE_OVERHEAD_MAX,
    NewerEnvelope,
    open_envelope,
    pack_envelope,
    unpack_value,
)
from rediq_trio.wire.packed_values import read_pairs
from rediq_trio.wire.packing import UNDECRYPTED, extension_of, pack_extension
from rediq_trio.worker.handler_call import open_call
from tests.chaos.fuzz import MEMORY, fuzz, is_newer, reason_of
from tests.fuzz.target import app, held_with, record_with, try_everything

to_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.binary(),
    lambda parts: (
        st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=5), parts, max_size=4)
    ),
    max_leaves=20,
)


def test_a_worker_outlives_thousands_of_bad_payloads() -> None:
    found = fuzz(3000, seed=7)
    assert found.wrong == []
    assert found.ran + sum(found.dead.values()) + found.newer == 3000
    assert found.ran > 50
    assert len(found.dead) > 8
    assert 0 < found.worst_mib < MEMORY


def test_a_batch_whose_member_looks_newer_is_counted_as_the_worker_takes_it() -> None:
    sound, newer, damaged = (msgpack.packb([version, "t", b"\x80"]) for version in (1, 65, 100))

    def batch(*envelopes: bytes) -> bytes:
        members = [[b"m%d" % n, each, 50, 3, 3, 0] for n, each in enumerate(envelopes)]
        packed: bytes = msgpack.packb([2, b"g", members], use_bin_type=False)
        return packed

    for made, wanted in [
        (newer, True), (damaged, False), (batch(sound), False), (batch(sound, newer), True),
        (batch(damaged, newer), False), (batch(newer, damaged), True),
    ]:  # fmt: skip
        assert is_newer(made) is wanted
        try:
            open_call(app, held_with(made), 1000)
        except NewerEnvelope:
            assert wanted
        except (PayloadError, rediq.UnknownTaskType):
            assert not wanted
        else:
            assert not wanted


def test_one_seed_gives_the_same_payloads_again() -> None:
    assert [*islice(Maker(3), 200)] == [*islice(Maker(3), 200)]
    assert [*islice(Maker(3), 200)] != [*islice(Maker(4), 200)]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try_everything(data)


@given(st.integers(0, 2**32))
@settings(max_examples=40)
def test_any_harmed_envelope_is_read_or_refused(seed: int) -> None:
    for data in islice(Maker(seed), 10):
        try_everything(data)


@settings(max_examples=60)
@given(fields=st.lists(to_plain, max_size=9))
def test_wrong_types_in_an_envelope_are_read_or_refused(fields: list[Any]) -> None:
    try_everything(msgpack.packb([1, *fields]))
    try_everything(msgpack.packb([1, "t", b"\xc0", *fields]))
    try_everything(msgpack.packb([2, *fields], use_bin_type=False))


def _deep(levels: int) -> bytes:
    return b"\x91" * levels + b"\xc0"


@pytest.mark.parametrize("levels", [500, 900, 1000])
@pytest.mark.parametrize("place", range(8))
def test_a_field_nested_deeper_than_python_can_show_is_refused(place: int, levels: int) -> None:
    # Once a RecursionError, which ended the worker: in `backoff` and in `depends_on`.
    fields = [b"\x01", b"\xa1a", b"\xc4\x01\xc0", b"\x01", b"\x90", b"\x80", b"\x00", b"\x90"]
    for deep in (_deep(levels), b"\x91" + _deep(levels)):
        fields[place] = deep
        with pytest.raises(PayloadError):
            open_envelope(b"\x98" + b"".join(fields))


@pytest.mark.parametrize(
    "metadata", [{"a": 1}, {b"a": "b"}, {"a": ["b"]}, {"a": None}, [], "x", {"a": b"b"}]
)
def test_metadata_that_are_no_texts_are_refused(metadata: Any) -> None:
    with pytest.raises(PayloadError, match="wrong type"):
        open_envelope(msgpack.packb([1, "t", b"\xc0", 1.0, [], metadata]))


@pytest.mark.parametrize("needs", [[1], [None], [["q/a"]], [b"q/a"]])
def test_dependencies_that_are_no_texts_are_refused(needs: Any) -> None:
    with pytest.raises(PayloadError, match="wrong type"):
        open_envelope(msgpack.packb([1, "t", b"\xc0", 1.0, [], {}, 0, needs]))


@pytest.mark.parametrize(
    "stamp", [b"\xd6\xff\0\0\0\1", b"\xd7\xff" + b"\0" * 8, b"\xc7\x0c\xff" + b"\0" * 12]
)
def test_timestamps_are_refused_like_every_extension(stamp: bytes) -> None:
    for packed in (stamp, b"\x91" + stamp, b"\x81\xa1k" + stamp, b"\x91\x81\xa1k\x92\x01" + stamp):
        with pytest.raises(PayloadError, match="timestamps are not allowed"):
            unpack_value(packed)
    assert unpack_value(msgpack.packb(stamp)) == stamp  # as bytes it is only bytes


def test_a_timestamp_in_the_place_of_an_encrypted_value_is_refused() -> None:
    # Found by atheris: it is an extension, but has no code.
    stamp = bytes.fromhex("c70cff1e015c476cd5000000000000")
    assert extension_of(stamp) is None
    with pytest.raises(PayloadError, match="not encrypted"):
        Encryption([b"k" * 32]).decrypt(stamp, "a")


def test_a_reason_that_somebody_else_wrote_is_shown_as_text_only() -> None:
    for data in (b"", b"\x1b[2J", b"a\nb", b"\xff" * 5 + b"\0"):
        with pytest.raises(PayloadError, match=r"^the payload is damaged$"):
            unpack_value(pack_extension(UNDECRYPTED, data))


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_a_declared_length_takes_no_memory(head: bytes) -> None:
    for declared in (2**32 - 1, 2**31, 2**24):
        for levels in (1, 60, 1000):
            with pytest.raises(PayloadError):
                unpack_value((head + declared.to_bytes(4, "big")) * levels)


def test_an_envelope_of_too_many_bytes_is_refused_unread() -> None:
    for more, error in ((0, PayloadError), (1, PayloadTooLarge)):
        with pytest.raises(error) as caught:
            open_call(app, held_with(b"\xdd" * (1000 + ENVELOPE_OVERHEAD_MAX + more)), 1000)
        assert type(caught.value) is error
    # The largest that can be enqueued is let in.
    metadata = {f"{n:02}" + "\U0001f600" * 4094: "\U0001f600" * 4096 for n in range(64)}
    task = rediq.Task("any", {"value": "x" * 900}, metadata=metadata)
    job = open_call(app, held_with(prepare(task, 1000).new.envelope), 1000)
    assert job.envelope.metadata == metadata


def test_a_record_with_bad_parts_is_described_all_the_same() -> None:
    for data in islice(Maker(11), 300):
        assert isinstance(make_task_info("q", record_with(data)).type, str)
    info = make_task_info("q", record_with(b"\xc1"))
    assert (info.type, info.result, info.progress) == (UNREADABLE_TEXT, UNREADABLE_TEXT, None)


def test_reasons_are_told_apart_without_what_is_special() -> None:
    assert reason_of("PayloadError: envelope cannot be decoded: x") == "envelope cannot be decoded"
    assert (
        reason_of("PayloadError: member a: no handler is named 'x'")
        == "member: no handler is named"
    )
    assert reason_of("") == "(none)"


@given(st.binary(max_size=60))
def test_results_and_schedules_of_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_inputs(
            "q", [(name.decode("utf-8", "replace"), value) for name, value in read_pairs(data)]
        )
    except PayloadError:
        pass
    read_schedule("s", data, 0)
    if is_batch(data):
        with pytest.raises(PayloadError):
            open_batch(data)


def test_what_is_sound_stays_so() -> None:
    sound = pack_envelope(
        "t", msgpack.packb({"a": 1}), 5.0, rediq.Fixed(1), {"a": "b"}, 0, ("q/a",)
    )
    opened = open_envelope(sound)
    assert (opened.metadata, opened.depends_on) == ({"a": "b"}, ("q/a",))
