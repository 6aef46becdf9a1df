"""assert_enqueued and assert_not_enqueued: what matches, and what their messages show."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pytest

import rediq_trio as rediq
from rediq_trio.testing.simulation import Simulation

app = rediq.App()


@app.task("billing:receipt")
async def receipt(order: int, to: str = "") -> None: ...


@app.task("billing:remind")
async def remind(order: int) -> None: ...


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(app, servers=0) as sim:
        yield sim


def test_a_task_is_found_by_its_type_and_a_part_of_its_payload(sim: Simulation) -> None:
    handle = sim.enqueue(receipt.task(7, to="ada"))
    sim.enqueue(receipt.task(8))
    assert sim.assert_enqueued(receipt, order=7).id == handle.id
    assert sim.assert_enqueued("billing:receipt", order=7, to="ada").id == handle.id
    sim.assert_enqueued(count=2)
    sim.assert_not_enqueued(receipt, order=9)
    sim.assert_not_enqueued(remind)


def test_a_task_is_found_by_where_and_when_it_is_to_run(sim: Simulation) -> None:
    sim.enqueue(receipt.task(7), queue="mail", delay=3000)
    sim.assert_enqueued(receipt, queue="mail", within=dt.timedelta(hours=1))
    sim.assert_enqueued(receipt, state="scheduled", run_at=sim.now + dt.timedelta(seconds=3000))
    sim.assert_not_enqueued(receipt, queue="mail", within=60)
    sim.assert_not_enqueued(receipt, queue="default")
    sim.assert_not_enqueued(receipt, run_at=sim.now)


def test_tasks_that_have_ended_count_only_by_their_state(sim: Simulation) -> None:
    sim.enqueue(receipt.options(retention=60).task(7)).cancel()
    sim.assert_not_enqueued(receipt)
    sim.assert_enqueued(receipt, state=rediq.State.CANCELLED)


def test_the_message_lists_what_there_is_and_marks_what_differs(sim: Simulation) -> None:
    sim.enqueue(remind.task(7), queue="mail")
    sim.enqueue(receipt.task(8), queue="mail", delay=7200)
    with pytest.raises(AssertionError) as caught:
        sim.assert_enqueued(receipt, order=7, queue="mail")
    first, nearest, other = str(caught.value).splitlines()
    assert first == (
        "no task enqueued like billing:receipt order=7 queue='mail'; there is, most alike first:"
    )
    assert re.fullmatch(
        r"    mail/\S+ billing:receipt \[order=8, not 7\] queue='mail' state=scheduled "
        r"run_at=in \S+ s",
        nearest,
    )
    assert "[billing:remind, not billing:receipt] order=7" in other


def test_the_message_says_how_many_there_are(sim: Simulation) -> None:
    sim.enqueue(receipt.task(7))
    with pytest.raises(AssertionError, match=r"^1 tasks enqueued like billing:receipt, 2 wanted"):
        sim.assert_enqueued(receipt, count=2)
    with pytest.raises(AssertionError, match=r"^1 enqueued like billing:receipt order=7; there is"):
        sim.assert_not_enqueued(receipt, order=7)


def test_the_message_says_that_there_is_nothing(sim: Simulation) -> None:
    with pytest.raises(AssertionError, match="there is no task at all"):
        sim.assert_enqueued(receipt)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"ordr": 7}, r"ordr=7: billing:receipt has no such field; there are order, to"),
        ({"count": 0}, r"count=0: must be a whole number from 1 to 1,000,000"),
        ({"count": True}, r"count=True: must be"),
        ({"queue": "a b"}, r"queue='a b': must be"),
        ({"state": "done"}, r"state='done': must be one of scheduled, "),
        ({"within": -1}, r"within=-1: must be"),
        ({"run_at": "now"}, r"run_at='now': must be"),
    ],
)
def test_what_no_task_can_have_is_refused(
    sim: Simulation, where: dict[str, object], message: str
) -> None:
    with pytest.raises(rediq.ConfigError, match=f"^{message}"):
        sim.assert_enqueued(receipt, **where)  # type: ignore[arg-type]


def test_a_field_that_no_task_of_the_name_has_is_refused(sim: Simulation) -> None:
    sim.enqueue(receipt.task(7))
    with pytest.raises(rediq.ConfigError, match="there are order; did you mean order"):
        sim.assert_not_enqueued("billing:receipt", ordr=7)


def test_a_type_that_is_none_is_refused(sim: Simulation) -> None:
    with pytest.raises(rediq.ConfigError, match=r"^type=7: must be a task type"):
        sim.assert_enqueued(7)  # type: ignore[arg-type]
