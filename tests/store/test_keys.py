"""Keys and ids as they are stored."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.spec.ids import pack_id, unpack_id
from rediq_trio.store.redis.keys import QUEUE_KEYS, Keys

own_ids = st.from_regex(r"[a-zA-Z0-9._:-]{1,128}", fullmatch=True)
uuids = st.uuids().map(str)


def _uuid7(value: uuid.UUID) -> str:
    text = str(value)
    return f"0{text[1:14]}7{text[15:]}"


uuid7s = st.uuids().map(_uuid7)


@given(own_ids | uuids | uuid7s)
def test_an_id_comes_back_as_it_was_stored(task_id: str) -> None:
    assert unpack_id(pack_id(task_id)) == task_id


@given(st.lists(own_ids | uuids | uuid7s, min_size=2, max_size=2, unique=True))
def test_two_ids_are_never_stored_alike(ids: list[str]) -> None:
    assert pack_id(ids[0]) != pack_id(ids[1])


@given(uuid7s)
def test_a_uuid7_takes_16_bytes(task_id: str) -> None:
    assert len(pack_id(task_id)) == 16


@pytest.mark.parametrize(
    "task_id",
    [
        "018F3B2C-0000-7ABC-8DEF-0123456789AB",
        "018f3b2c-0000-4abc-8def-0123456789ab",
        "218f3b2c-0000-7abc-8def-0123456789ab",
        "018f3b2c00007abc8def0123456789ab----",
        "018f3b2c-0000-7abc-8def0-123456789ab",
        "018f3b2c-0000-7abc-8def-0123456789a",
        "018f3b2c-0000-7abc-8def-0123456789ag",
        "-18f3b2c-0000-7abc-8def-0123456789ab",
        "0" * 16,
        "0" * 36,
        "-" * 16,
    ],
)
def test_what_only_looks_like_a_uuid7_is_stored_as_text(task_id: str) -> None:
    assert pack_id(task_id) == task_id.encode()
    assert unpack_id(pack_id(task_id)) == task_id


def test_bytes_that_are_no_text_can_still_be_shown() -> None:
    assert unpack_id(b"\xff") == "\ufffd"


@given(st.from_regex(r"[a-zA-Z0-9._:-]{1,128}", fullmatch=True))
def test_a_channel_says_whose_it_is(queue: str) -> None:
    keys = Keys("some:prefix")
    assert keys.queue_of(keys.channel(queue)) == queue


def test_all_keys_of_a_queue_are_in_its_hash_slot() -> None:
    for key in Keys("p").of("a:b", QUEUE_KEYS):
        assert key.startswith(b"p:{a:b}:")


def test_a_queue_and_the_workers_cannot_meet() -> None:
    keys = Keys("p")
    assert not set(keys.of("workers", QUEUE_KEYS)) & {*keys.workers.values(), keys.queues}
    assert len({key.split(b"}")[0] for key in keys.workers.values()}) == 1
