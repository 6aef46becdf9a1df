"""Reading what is stored of a task's attempts."""

from __future__ import annotations

import attrs
import pytest

from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.store.redis.attempt_codec import read_attempts
from rediq_trio.wire.packing import pack_for_lua

GOOD = [1, 2, b"w", 300, 400, b"fail", b"\x00\xff"]
READ = StoredAttempt(1, 2, "w", 300, 400, "fail", b"\x00\xff")


def test_attempts_are_read_in_their_order() -> None:
    second = [2, 3, b"w", 500, 600, b"reclaim", b""]
    found = read_attempts(pack_for_lua([GOOD, second]), 0)
    assert found == (READ, StoredAttempt(2, 3, "w", 500, 600, "reclaim"))


def test_what_a_newer_version_adds_to_an_attempt_is_ignored() -> None:
    assert read_attempts(pack_for_lua([[*GOOD, b"", {"new": 1}]]), 0) == (READ,)


def test_an_attempt_of_a_version_without_kinds_is_of_none() -> None:
    assert read_attempts(pack_for_lua([GOOD, [*GOOD, b"abc"]]), 0) == (
        READ, attrs.evolve(READ, kind="abc"),
    )  # fmt: skip


def test_a_detail_that_repeats_is_that_of_the_attempt_before() -> None:
    same = [*GOOD[:6], True]
    assert read_attempts(pack_for_lua([GOOD, same, [*same, b"abc"]]), 0) == (
        READ, READ, attrs.evolve(READ, kind="abc"),
    )  # fmt: skip


def test_a_detail_that_repeats_one_that_cannot_be_decoded_is_left_out() -> None:
    same = [*GOOD[:6], True]
    assert read_attempts(pack_for_lua([same, GOOD, [1], same, GOOD]), 0) == (READ, READ)


@pytest.mark.parametrize("bad", [None, 7, b"x", [], GOOD[:-1], [b"1", *GOOD[1:]], {"a": 1}])
def test_an_attempt_that_cannot_be_decoded_is_left_out(bad: object) -> None:
    assert read_attempts(pack_for_lua([bad, GOOD]), 0) == (READ,)


@pytest.mark.parametrize(
    "damaged", [b"\xc1", b"\x93\x01", pack_for_lua({"a": 1}), b"text", b"\xd6\xff"]
)
def test_a_field_that_cannot_be_decoded_has_no_attempts(damaged: bytes) -> None:
    assert read_attempts(damaged, 0) == ()


def test_attempts_of_an_earlier_task_of_the_same_id_are_left_out() -> None:
    assert read_attempts(pack_for_lua([GOOD]), 300) == (READ,)
    assert read_attempts(pack_for_lua([GOOD]), 301) == ()
