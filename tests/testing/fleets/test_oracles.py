"""Each oracle: what breaks its promise, what keeps it, and what excuses it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import attrs
import pytest

from rediq_trio.handlers.context import CurrentTask
from rediq_trio.settings import Settings
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Record
from rediq_trio.testing.fleets import oracles
from rediq_trio.testing.fleets.facts import (
    AnsweredWait,
    AskedCancel,
    FleetAttempt,
    FleetFacts,
    GracefulStop,
    HostLoad,
    KeptProgress,
    LapsedLease,
    SettledOutcome,
)
from rediq_trio.testing.fleets.oracles import ORACLES, Oracle, OracleAnswer
from rediq_trio.testing.fleets.outages import HostOutages

Change = Callable[[FleetFacts], object]
TASK = "mail/one"


@attrs.frozen
class Uncancelled:
    """What an oracle asks of the running task."""

    cancel_reason: str | None = None


def a_fleet(*changes: Change) -> FleetFacts:
    """Return the facts of a fleet of two servers, to which some things happened."""
    settings = Settings(name="w0", lease=30.0, concurrency=4, shutdown_grace=10.0, cleanup_grace=2.0)
    facts = FleetFacts(settings)
    for host in ("w0", "w1"):
        facts.born[host] = 0.0
        facts.servers[host] = None
    for change in changes:
        change(facts)
    return facts


def an_attempt(
    host: str = "w0", begun: float = 100.0, *, delivery: int = 1, reason: str | None = None,
    ended: float | None = None, lease_end: float = 130.0, percent: float | None = None,
) -> FleetAttempt:  # fmt: skip
    current = cast("CurrentTask", Uncancelled(reason))
    end: Any = None if ended is None else "completed"
    return FleetAttempt(
        task_id=TASK, type="send", host=host, delivery=delivery, begun=begun, lease_end=lease_end,
        current=current, ended=ended, end=end, percent=percent,
    )  # fmt: skip


def began(attempt: FleetAttempt) -> Change:
    return lambda facts: facts.begin(attempt)


def out(host: str, begin: float, end: float) -> Change:
    return lambda facts: facts.outages[host].add(begin, end)


def stood_still(host: str, begin: float, end: float) -> Change:
    return lambda facts: facts.stood_still[host].add(begin, end)


def failed_over(at: float) -> Change:
    return lambda facts: facts.failovers.append(at)


def stops(host: str, at: float) -> Change:
    return lambda facts: facts.stopping.update({host: at})


def a_record(state: State = State.ACTIVE, *, deliveries: int = 1, nonce: bytes = b"1") -> Record:
    return Record(
        id="one", envelope=b"", state=state, priority=50, max_retry=3, max_crashes=3, retention_ms=0,
        created_ms=0, run_ms=0, worker="w0", deliveries=deliveries, nonce=nonce,
    )  # fmt: skip


LAPSED = LapsedLease("mail", a_record(), claimed=100.0, ended=130.0, at=131.0)
LATE = attrs.evolve(LAPSED, at=140.0)
STOP = GracefulStop("w0", begun=100.0, at=105.0, left=(TASK,))
SLOW_STOP = GracefulStop("w0", begun=100.0, at=120.0, left=())
CANCEL = AskedCancel(TASK, asked=102.0, at=104.0)
ANSWERED_LATE = AnsweredWait(TASK, "c0", ended=100.0, at=105.0)
AGAIN = an_attempt("w1", 150.0, delivery=2)
DONE = an_attempt("w0", 100.0, ended=110.0)
RUNS = an_attempt("w0", 100.0)
CANCELLED = an_attempt("w0", 100.0, reason="lease lost")
LOST_PROGRESS = KeptProgress(an_attempt(percent=100.0), 80.0, at=110.0)
LEASES = HostLoad("w0", leases=7, running=4, leases_most=5, running_most=4, at=100.0)
RUNNING = HostLoad("w0", leases=5, running=5, leases_most=5, running_most=4, at=100.0)
AN_OLD_TOKEN = SettledOutcome(
    TASK, "w0", 1, b"1", a_record(deliveries=2, nonce=b"2"), a_record(State.COMPLETED, deliveries=2),
    held=True,
)  # fmt: skip

BROKEN: list[tuple[Oracle, object, list[Change]]] = [
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), out("w0", 110, 115)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), out("w1", 90, 200)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [out("w0", 110, 111)]),
    (oracles.lapsed_leases_are_reclaimed_in_time, LATE, []),
    (oracles.lapsed_leases_are_reclaimed_in_time, LATE, [out("w0", 100, 200)]),
    (oracles.leases_are_not_reclaimed_early, attrs.evolve(LAPSED, at=127.0), []),
    (oracles.done_work_is_not_done_again, AGAIN, [began(DONE)]),
    (oracles.done_work_is_not_done_again, AGAIN, [began(DONE), out("w0", 112, 115)]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(RUNS)]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(RUNS), out("w0", 100, 150)]),
    (oracles.attempts_end_that_the_store_forgot, AGAIN, [began(RUNS), began(AGAIN), failed_over(120)]),
    (oracles.no_attempt_begins_on_a_lease_that_is_over, an_attempt(begun=131.0), []),
    (oracles.nothing_is_left_behind, STOP, []),
    (oracles.nothing_is_left_behind, STOP, [out("w0", 10, 20)]),
    (oracles.a_stop_takes_no_longer_than_its_graces, SLOW_STOP, []),
    (oracles.a_cancel_reaches_its_handler, CANCEL, [began(RUNS)]),
    (oracles.a_waiter_hears_of_the_end, ANSWERED_LATE, []),
    (oracles.the_last_progress_is_kept, LOST_PROGRESS, []),
    (oracles.an_older_token_changes_nothing, AN_OLD_TOKEN, []),
    (
        oracles.nothing_counts_as_done_before_it_is_written,
        attrs.evolve(AN_OLD_TOKEN, held=False), [],
    ),
    (oracles.no_worker_exceeds_its_slots, LEASES, []),
    (oracles.no_worker_exceeds_its_slots, RUNNING, [out("w0", 90, 110)]),
]  # fmt: skip

EXCUSED: list[tuple[Oracle, object, list[Change]]] = [
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), out("w0", 110, 125)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), out("w0", 105, math.inf)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [out("w0", 100, 101)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), failed_over(110)]),
    (oracles.no_lease_lapses_without_cause, LAPSED, [began(RUNS), stops("w0", 105), out("w0", 106, 107)]),
    (oracles.lapsed_leases_are_reclaimed_in_time, LATE, [out("w0", 126, 127), out("w1", 130, 131)]),
    (oracles.done_work_is_not_done_again, AGAIN, [began(DONE), out("w0", 110, 140)]),
    (oracles.done_work_is_not_done_again, AGAIN, [began(DONE), failed_over(112)]),
    (oracles.done_work_is_not_done_again, AGAIN, [began(DONE), stops("w0", 109), out("w0", 111, 112)]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(RUNS), stood_still("w0", 110, 151)]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(RUNS), failed_over(120)]),
    (
        oracles.attempts_end_that_the_store_forgot, AGAIN,
        [began(RUNS), began(AGAIN), failed_over(120), out("w0", 155, 160)],
    ),
    (oracles.nothing_is_left_behind, STOP, [out("w0", 80, 81)]),
    (oracles.nothing_is_left_behind, STOP, [failed_over(101)]),
    (oracles.a_stop_takes_no_longer_than_its_graces, SLOW_STOP, [out("w0", 105, 106)]),
    (oracles.a_cancel_reaches_its_handler, CANCEL, [began(RUNS), out("w0", 101, 103)]),
    (oracles.a_waiter_hears_of_the_end, ANSWERED_LATE, [out("c0", 99, 101)]),
    (oracles.a_waiter_hears_of_the_end, ANSWERED_LATE, [failed_over(99)]),
    (oracles.the_last_progress_is_kept, LOST_PROGRESS, [out("w0", 105, 106)]),
    (
        oracles.an_older_token_changes_nothing,
        attrs.evolve(AN_OLD_TOKEN, delivery=2, nonce=b"2"), [],
    ),
    (
        oracles.nothing_counts_as_done_before_it_is_written,
        attrs.evolve(AN_OLD_TOKEN, held=None), [],
    ),
    (oracles.no_worker_exceeds_its_slots, LEASES, [out("w0", 90, 91)]),
]  # fmt: skip

KEPT: list[tuple[Oracle, object, list[Change]]] = [
    (oracles.lapsed_leases_are_reclaimed_in_time, LAPSED, []),
    (oracles.leases_are_not_reclaimed_early, LAPSED, []),
    (oracles.done_work_is_not_done_again, AGAIN, [began(an_attempt("w0", 100.0))]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(CANCELLED)]),
    (oracles.attempts_do_not_overlap, AGAIN, [began(DONE), stood_still("w0", 110, 151)]),
    (oracles.attempts_end_that_the_store_forgot, AGAIN, [began(DONE), began(AGAIN)]),
    (oracles.no_attempt_begins_on_a_lease_that_is_over, RUNS, []),
    (oracles.nothing_is_left_behind, SLOW_STOP, []),
    (oracles.a_stop_takes_no_longer_than_its_graces, STOP, []),
    (oracles.a_cancel_reaches_its_handler, CANCEL, [began(CANCELLED)]),
    (oracles.a_waiter_hears_of_the_end, attrs.evolve(ANSWERED_LATE, at=101.0), []),
    (oracles.the_last_progress_is_kept, attrs.evolve(LOST_PROGRESS, percent=100.0), []),
    (oracles.nothing_counts_as_done_before_it_is_written, AN_OLD_TOKEN, []),
    (oracles.no_worker_exceeds_its_slots, attrs.evolve(LEASES, leases=5), []),
]


def asked(oracle: Oracle, what: object, changes: list[Change]) -> OracleAnswer:
    return oracle(a_fleet(*changes), what)




def named(rows: list[tuple[Oracle, object, list[Change]]]) -> list[Any]:
    return [pytest.param(*row, id=f"{row[0].__name__}-{n}") for n, row in enumerate(rows)]


@pytest.mark.parametrize(("oracle", "what", "changes"), named(BROKEN))
def test_what_breaks_a_promise_is_told(oracle: Oracle, what: object, changes: list[Change]) -> None:
    assert asked(oracle, what, changes)


@pytest.mark.parametrize(("oracle", "what", "changes"), named(EXCUSED))
def test_an_outage_that_is_long_enough_excuses(
    oracle: Oracle, what: object, changes: list[Change]
) -> None:
    assert asked(oracle, what, changes) is None


@pytest.mark.parametrize(("oracle", "what", "changes"), named(KEPT))
def test_what_keeps_a_promise_is_not_told(oracle: Oracle, what: object, changes: list[Change]) -> None:
    assert asked(oracle, what, changes) == ""


def test_each_oracle_has_something_that_breaks_it() -> None:
    assert {row[0] for row in BROKEN} == {*ORACLES}


def test_outages_that_overlap_count_once() -> None:
    outages = HostOutages()
    outages.add(10, 20)
    outages.add(15, 18)
    outages.add(19, 25)
    outages.add(40, math.inf)
    assert outages.length_since(0, 30) == 15
    assert outages.length_since(12, 24) == 12
    assert outages.length_since(0, 45) == 20
    assert outages.any_since(25)
    assert not outages.any_since(26, 39)
