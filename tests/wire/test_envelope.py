"""What a task carries past the queue, as bytes."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from rediq_trio._errors import PayloadError
from rediq_trio.values.backoff import DEFAULT_BACKOFF, Exponential, Fixed
from rediq_trio.values.bounds import MAX_DELAY
from rediq_trio.values.unset import UNSET_TIMEOUT
from rediq_trio.wire.envelope import LAST_MS, Envelope, NewerEnvelope, open_envelope, pack_envelope

PAYLOAD = b"\x80"
YEAR_MS = round(MAX_DELAY * 1000)


def packed(*rest: Any) -> bytes:
    found: bytes = msgpack.packb([1, "t", PAYLOAD, *rest])
    return found


def test_a_plain_envelope_holds_type_and_payload_only() -> None:
    assert pack_envelope("t", PAYLOAD, UNSET_TIMEOUT, DEFAULT_BACKOFF, {}) == packed()
    assert open_envelope(packed()) == Envelope("t", PAYLOAD, 30.0, DEFAULT_BACKOFF, {}, 0)


EQUAL = Exponential()
"""Equal to the default, and set."""


@pytest.mark.parametrize(
    ("timeout", "backoff", "is_set", "rest"),
    [
        (UNSET_TIMEOUT, DEFAULT_BACKOFF, False, []),
        (30.0, DEFAULT_BACKOFF, False, [30.0]),
        (UNSET_TIMEOUT, EQUAL, False, [30, [0, 2.0, 60.0, 2.0, 0.1]]),
        (30.0, EQUAL, False, [30.0, [0, 2.0, 60.0, 2.0, 0.1]]),
        (UNSET_TIMEOUT, DEFAULT_BACKOFF, True, []),
        (5.0, Fixed(2), True, [5.0, [2, 2]]),
    ],
)
@pytest.mark.parametrize("metadata", [{}, {"a": "b"}])
def test_what_was_left_unset_can_be_told_from_an_equal_value(
    timeout: float, backoff: Any, is_set: bool, rest: list[Any], metadata: dict[str, str]
) -> None:
    made = pack_envelope("t", PAYLOAD, timeout, backoff, metadata, max_retry_is_set=is_set)
    if metadata:
        rest = [*rest, *[30, []][len(rest) :], metadata]
    assert made == msgpack.packb([True if is_set else 1, "t", PAYLOAD, *rest])
    found = open_envelope(made)
    assert (found.timeout, found.backoff, found.metadata) == (timeout, backoff, metadata)
    assert (found.timeout is UNSET_TIMEOUT) == (timeout is UNSET_TIMEOUT)
    assert (found.backoff is DEFAULT_BACKOFF) == (backoff is DEFAULT_BACKOFF)
    assert found.max_retry_is_set == is_set


def test_an_older_envelope_with_more_than_a_payload_has_its_timeout_set() -> None:
    # Older versions wrote the default as a float, whether it was set or not.
    found = open_envelope(packed(30.0, [], {"a": "b"}))
    assert found.timeout is not UNSET_TIMEOUT


@pytest.mark.parametrize(
    ("timeout", "backoff", "metadata", "deadline", "rest"),
    [
        (5.0, DEFAULT_BACKOFF, {}, 0, [5.0]),
        (30.0, Fixed(2), {}, 0, [30.0, [2, 2]]),
        (30.0, DEFAULT_BACKOFF, {"a": "b"}, 0, [30.0, [], {"a": "b"}]),
        (30.0, DEFAULT_BACKOFF, {}, -5000, [30.0, [], {}, -5000]),
        (5.0, Fixed(2), {"a": "b"}, 17, [5.0, [2, 2], {"a": "b"}, 17]),
    ],
)
def test_what_is_as_usual_at_the_end_is_left_away(
    timeout: float, backoff: Any, metadata: dict[str, str], deadline: int, rest: list[Any]
) -> None:
    made = pack_envelope("t", PAYLOAD, timeout, backoff, metadata, deadline)
    assert made == packed(*rest)
    assert open_envelope(made) == Envelope("t", PAYLOAD, timeout, backoff, metadata, deadline)


@pytest.mark.parametrize("length", range(4))
def test_an_envelope_from_before_there_were_deadlines_has_none(length: int) -> None:
    old = [5.0, [2, 2], {"a": "b"}][:length]
    assert open_envelope(packed(*old)).deadline_ms == 0


@pytest.mark.parametrize("deadline", [-YEAR_MS, -1, 0, 1, LAST_MS])
def test_a_deadline_at_its_bounds_is_read(deadline: int) -> None:
    assert open_envelope(packed(30.0, [], {}, deadline)).deadline_ms == deadline


@pytest.mark.parametrize(
    "deadline", [-YEAR_MS - 1, LAST_MS + 1, 2**63, 1.5, True, None, "1", b"1", []]
)
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(PayloadError, match="a field has the wrong type"):
        open_envelope(packed(30.0, [], {}, deadline))


def test_the_tasks_that_it_depends_on_are_kept() -> None:
    made = pack_envelope("t", PAYLOAD, 30.0, DEFAULT_BACKOFF, {}, 0, ("q/a", "o/b"))
    assert made == packed(30.0, [], {}, 0, ["q/a", "o/b"])
    assert open_envelope(made).depends_on == ("q/a", "o/b")
    with pytest.raises(PayloadError, match="a field has the wrong type"):
        open_envelope(packed(30.0, [], {}, 0, 5))


def test_more_than_there_is_room_for_is_refused() -> None:
    with pytest.raises(PayloadError, match="array of 3 to 8"):
        open_envelope(packed(30.0, [], {}, 0, [], 0))


@pytest.mark.parametrize("rest", [[], [{"novel": 1}], ["t", PAYLOAD], list(range(20))])
@pytest.mark.parametrize("version", [3, 99])
def test_an_envelope_of_a_newer_version_is_known_whatever_is_in_it(
    version: int, rest: list[Any]
) -> None:
    with pytest.raises(
        NewerEnvelope, match=f"envelope has version {version}; this library reads 1"
    ):
        open_envelope(msgpack.packb([version, *rest]))


@pytest.mark.parametrize("version", [-1, 0, 2, 100, 3.0, "3", None])
def test_what_begins_with_no_version_is_damaged(version: Any) -> None:
    with pytest.raises(PayloadError) as refused:
        open_envelope(msgpack.packb([version, "t", PAYLOAD]))
    assert not isinstance(refused.value, NewerEnvelope)
