"""Views of tasks from what a check's script answers."""

import msgpack

from rediq_trio.spec.check.task import RecordView, task_target
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.stored_format import CODE_OF
from rediq_trio.store.redis.check.codec import task_view

PENDING = [
    CODE_OF[State.PENDING],
    50,
    3,
    2,
    1000,
    10,
    11,
    12,
    13,
    b"e",
    0,
    0,
    0,
    0,
    b"",
    b"",
    0,
    0,
    0,
    0,
    b"",
]
TIED = [*PENDING, [b"key", 2, 1, b"lane", b"group", 3, 1]]
LENGTHS = [8, 6, 0, 0, 5, 7]
"""Of envelope, result, progress, inputs, steps and attempts."""
NOWHERE: list[object] = [b""] * 8


def view_of(answer: list[object]) -> RecordView:
    return task_view(task_target("t"), (), answer)


def reply(
    record: list[object],
    scores: list[object],
    ranks: list[bytes],
    needs: int = 0,
    holder: bytes = b"",
) -> list[object]:
    packed: bytes = msgpack.packb(record, use_bin_type=False)
    return [packed, *LENGTHS, b"19", *scores, *ranks, needs, holder]


def test_a_view_has_where_a_task_is_listed_and_what_is_kept_of_it() -> None:
    view = view_of(reply(TIED, NOWHERE, [b"17", b"18"], 3, b"holder"))
    assert view.record is not None
    assert view.record.limit_key == "lane"
    assert view.record.envelope == b""
    assert view.indexes == {State.GROUPED: 17, State.PENDING: 18}
    assert (view.expiring, view.needs, view.holder) == (19, 3, "holder")
    assert view.has_envelope
    assert view.kept == {"result", "steps", "attempts"}


def test_the_record_has_the_score_of_its_state() -> None:
    scores = [b"", b"", b"", b"1700000000000", b"", b"5", b"", b""]
    active = view_of(reply([CODE_OF[State.ACTIVE], *PENDING[1:]], scores, [b"", b""]))
    assert active.record is not None
    assert active.record.state is State.ACTIVE
    assert active.record.lease_ms == 1_700_000_000_000
    assert active.indexes == {State.ACTIVE: 1_700_000_000_000, State.COMPLETED: 5}


def test_a_score_beyond_32_bits_is_exact() -> None:
    scores = [*NOWHERE[:2], b"3553621580972033", *NOWHERE[:5]]
    view = view_of(reply(PENDING, scores, [b"", b""]))
    assert view.indexes == {State.PENDING: 3553621580972033}


def test_a_task_listed_as_pending_in_two_places_is_at_none() -> None:
    scores = [b"", b"", b"18", *NOWHERE[:5]]
    assert view_of(reply(TIED, scores, [b"", b"18"])).indexes == {State.PENDING: -1}


def test_a_record_that_cannot_be_read_is_not_a_missing_one() -> None:
    damaged = view_of(reply([0, *PENDING[1:]], NOWHERE, [b"", b""]))
    assert (damaged.record, damaged.unreadable, damaged.newer) == (None, True, 0)
    newer = view_of(reply([104, *PENDING[1:]], NOWHERE, [b"", b""]))
    assert (newer.record, newer.unreadable, newer.newer) == (None, False, 2)
    missing = view_of([b"", *[0] * 6, b"", *NOWHERE, b"", b"", 0, b""])
    assert (missing.record, missing.unreadable, missing.has_envelope) == (None, False, False)
