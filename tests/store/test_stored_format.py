"""What deployed versions have stored is read as it was meant: the orders of format 1 never change.

Both languages take them from one place, so nothing else notices when one is changed.
"""

from __future__ import annotations

import pytest

from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Mail, MailKind, NewTask, Relations, Schedule, Until
from rediq_trio.spec.records import Ending, GroupRule, Limit
from rediq_trio.spec.stored_format import CODE_OF, FORMAT, FORMAT_STEP
from rediq_trio.store.redis.codec import (
    pack_mail,
    pack_options,
    pack_rate,
    pack_rule,
    read_ending,
    read_limit,
    read_mail,
    read_record,
    read_rule,
    read_schedule,
    read_task,
)
from rediq_trio.store.redis.history_codec import read_entry
from rediq_trio.wire.packing import pack_for_lua, unpack

OPTIONS = [1, 2, 3, 4, 5, 6, 7, 8, ["q", "u", 3, 4, 1, "l", "g", 1, ["a", "o/b"], ["c"], ["d"]]]
TASK = NewTask(
    "t", b"e", 1, 2, 3, 4, 5, 6, 7, 8,
    Relations(
        queue="q", unique="u", until=Until.EXPIRED, ttl_ms=4, replace=True, limit_key="l", group="g",
        run_on_dependency_failure=True, needs=("a", "o/b"), needs_later=("c",), dependents=("d",),
    ),
)  # fmt: skip


def test_this_version_writes_format_1() -> None:
    assert (FORMAT, FORMAT_STEP) == (1, 100)


def test_states_are_numbered_as_ever() -> None:
    assert {state.value: code for state, code in CODE_OF.items()} == {
        "scheduled": 1, "blocked": 2, "grouped": 3, "pending": 4, "active": 5, "retry": 6,
        "completed": 7, "dead": 8, "cancelled": 9,
    }  # fmt: skip


def test_a_record() -> None:
    packed = pack_for_lua(
        [5, 1, 2, 3, 4, 6, 7, 8, 9, b"", 10, 11, 12, 13, b"n", b"w", 1, 5, 14, 15, b"e",
         [b"u", 2, 1, b"l", b"g", 16, 1]]
    )  # fmt: skip
    record = read_record("t", packed)
    assert record is not None
    assert record.state is State.ACTIVE
    assert (record.priority, record.max_retry, record.max_crashes, record.retention_ms) == (
        1,
        2,
        3,
        4,
    )
    assert (record.created_ms, record.run_ms, record.expires_ms, record.seq) == (6, 7, 8, 9)
    assert (record.attempt, record.deliveries, record.crashes, record.snoozes) == (10, 11, 12, 13)
    assert (record.nonce, record.worker, record.cancel, record.error) == (b"n", "w", True, "e")
    assert (record.has_waiters, record.has_dependents, record.has_steps) == (True, False, True)
    assert (record.started_ms, record.finished_ms) == (14, 15)
    assert (record.unique, record.until, record.owns_unique_key) == ("u", Until.STARTED, True)
    assert (record.limit_key, record.group, record.waits) == ("l", "g", 16)
    assert record.run_on_dependency_failure


def test_the_options_of_a_task() -> None:
    assert unpack(pack_options(TASK)) == OPTIONS
    assert read_task(b"t", b"e", pack_for_lua(OPTIONS)) == TASK


@pytest.mark.parametrize(
    ("mail", "values"),
    [
        (Mail(5, "q", MailKind.SUBSCRIBE, id="a", ref="b"), [5, "q", 2, "a", "b", 0, ""]),
        (
            Mail(5, "q", MailKind.ENDED, id="a", ref="b", ended_as=State.DEAD, result=b"r"),
            [5, "q", 3, "a", "b", 8, "r"],
        ),
        (
            Mail(5, "q", MailKind.TASK, task=NewTask("t", b"e", 1, 2, 3, 4, 5, 6, 7, 8)),
            [5, "q", 1, "t", "e"],
        ),
    ],
)
def test_a_message(mail: Mail, values: list[object]) -> None:
    if mail.task is not None:
        values = [*values, pack_options(mail.task)]
    assert pack_mail(mail) == pack_for_lua(values)
    assert read_mail(pack_for_lua(values)) == mail


def test_an_ending() -> None:
    assert read_ending(pack_for_lua([3, "t", 8, "r", "d"])) == Ending("t", State.DEAD, b"r")
    assert read_ending(pack_for_lua([3, "t", 255, "", "d"])) == Ending("t", None)


def test_a_schedule() -> None:
    values = ["when", b"e", pack_for_lua([1, 2, 3, 4, 5, 6, 7, 8]), "owner", 1, 0, 1, 9, "last", 10]
    assert read_schedule("s", pack_for_lua(values), 11) == Schedule(
        "s",
        b"when",
        NewTask("", b"e", 1, 2, 3, 4, 5, 6, 7, 8),
        "owner",
        True,
        False,
        True,
        11,
        9,
        "last",
        10,
    )


def test_a_limit_and_a_rule() -> None:
    assert read_limit(pack_for_lua([1, 2, 3, 4, 1500])) == Limit(1, 2, 3, 4)
    assert unpack(pack_rate(2, 3, 4)) == [2, 3, 4, 1500]
    assert unpack(pack_rule(GroupRule(1, 2, 3))) == [1, 2, 3]
    assert read_rule(pack_for_lua([1, 2, 3])) == GroupRule(1, 2, 3)


def test_an_entry_of_a_task() -> None:
    packed = pack_for_lua(
        [1, "claim", "t", 4, 5, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 1, 13, b"n", "w", "r",
         ["u", 1, "l", "g", 14, 0, ["a"]]]
    )  # fmt: skip
    assert read_entry(20, packed) == Entry(
        number=20, now_ms=1, transition="claim", id="t", source=State.PENDING, target=State.ACTIVE,
        deliveries=2, attempt=3, crashes=4, snoozes=6, max_retry=7, max_crashes=8, priority=9, seq=10,
        run_ms=11, expires_ms=12, cancel=True, till_ms=13, nonce=b"n", worker="w", reason="r",
        unique="u", owns_unique_key=True, limit_key="l", group="g", waits=14, needs=("a",),
    )  # fmt: skip


def test_an_entry_of_a_queue() -> None:
    packed = pack_for_lua([1, "limit", "k", [2], [3, 4]])
    assert read_entry(20, packed) == Entry(20, 1, "limit", key="k", before=(2,), after=(3, 4))
