"""The promises of the contract about workers and clients, each as a function of what happened.

An oracle is asked when something happens that a promise is about. It returns None when the promise
does not apply, because of an outage that was long enough to excuse the host; "" when the promise was
kept; otherwise what broke it. The rules of the store have oracles of their own: the invariants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

OracleAnswer = str | None
Oracle = Callable[[FleetFacts, Any], OracleAnswer]

CALL_MAX = 1.0
"""Seconds that a call and its answer take at most without a fault, with all that wait before them."""
CANCEL_WITHIN = 1.0 + CALL_MAX
"""Seconds after which an attempt knows that it is cancelled."""
ANSWERED_WITHIN = 1.0 + CALL_MAX
"""Seconds after which a client knows that a task has ended for which it waits."""
RECLAIM_WITHIN = 5.0
"""Seconds after which a lease that ran out is reclaimed, if any server is well."""
STOP_SLACK = 1.0 + 2 * CALL_MAX
"""Seconds that a stop takes beside its graces: the last outcomes, and the worker's record."""
OUT_SHARE = 0.3
"""The share of a lease for which a host must have been out to be excused for losing one.

It renews each lease every third of it, and gives it up a little before its end.
"""


def no_lease_lapses_without_cause(facts: FleetFacts, lapsed: LapsedLease) -> OracleAnswer:
    """A lease is renewed until its outcome is written, unless its worker is gone or out for long."""
    host = lapsed.record.worker
    outages, since = facts.outages[host], lapsed.claimed - CALL_MAX
    if host not in facts.servers or facts.forgotten_since(since):
        return None
    if outages.length_since(since, lapsed.at) >= OUT_SHARE * facts.settings.lease:
        return None
    task_id = f"{lapsed.queue}/{lapsed.record.id}"
    attempt = facts.attempt_of(task_id, lapsed.record.deliveries, host)
    if attempt is None and outages.any_since(since, lapsed.claimed + CALL_MAX):
        return None  # the answer to the claim was lost
    stopping = facts.stopping.get(host)
    if stopping is not None and outages.any_since(stopping):
        return None  # a stop does not wait for a connection that is lost
    return f"the lease of {task_id} ran out on {host}, which nothing had befallen that takes so long"


def lapsed_leases_are_reclaimed_in_time(facts: FleetFacts, lapsed: LapsedLease) -> OracleAnswer:
    """A lease that ran out is reclaimed within 5 s, while any server is well."""
    since = lapsed.ended - RECLAIM_WITHIN
    if facts.forgotten_since(since) or not any(facts.healthy_servers(since, lapsed.at)):
        return None
    late = lapsed.at - lapsed.ended
    if late <= RECLAIM_WITHIN + CALL_MAX:
        return ""
    return f"the lease of {lapsed.queue}/{lapsed.record.id} was reclaimed {late:.1f} s after its end"


def leases_are_not_reclaimed_early(_: FleetFacts, lapsed: LapsedLease) -> OracleAnswer:
    """A lease is its worker's until it runs out."""
    early = lapsed.ended - lapsed.at
    if early <= 0.001:
        return ""
    return f"the lease of {lapsed.queue}/{lapsed.record.id} was reclaimed {early:.3f} s too early"


def done_work_is_not_done_again(facts: FleetFacts, attempt: FleetAttempt) -> OracleAnswer:
    """A task whose attempt succeeded does not run again, unless its outcome could not be written."""
    for other in facts.attempts[attempt.task_id]:
        if other is attempt or other.end != "completed":
            continue
        if facts.forgotten_since(other.begun):
            return None
        out = facts.outages[other.host].length_since(other.begun, attempt.begun)
        if out >= OUT_SHARE * facts.settings.lease or _stopped_while_out(facts, other.host):
            return None
        return (
            f"{attempt.task_id} runs again on {attempt.host}: it had succeeded on {other.host}, which "
            "nothing had befallen that takes so long"
        )
    return ""


def _stopped_while_out(facts: FleetFacts, host: str) -> bool:
    stopping = facts.stopping.get(host)
    return stopping is not None and facts.outages[host].any_since(stopping)


def attempts_do_not_overlap(facts: FleetFacts, attempt: FleetAttempt) -> OracleAnswer:
    """No two attempts of a task run at once, but for one that is cancelled and cleans up."""
    for other in facts.attempts[attempt.task_id]:
        if other is attempt or not other.runs or other.current.cancel_reason is not None:
            continue
        if facts.stood_still[other.host].any_since(other.begun):
            return None  # it finds out as soon as it goes on
        if facts.forgotten_since(other.begun):
            return None  # it learns of it with its next beat
        return f"{attempt.task_id} runs on {attempt.host} while it runs on {other.host}"
    return ""


def attempts_end_that_the_store_forgot(facts: FleetFacts, attempt: FleetAttempt) -> OracleAnswer:
    """After a failover, an attempt whose claim is forgotten ends with the next beat.

    Asked when a beat and 5 s have passed since another attempt of the task began.
    """
    for other in facts.attempts[attempt.task_id]:
        if other is attempt or not other.runs or not attempt.runs:
            continue
        since = attempt.begun + 2 * CALL_MAX  # the failover itself broke all connections
        if facts.outages[other.host].any_since(since) or facts.outages[attempt.host].any_since(since):
            return None
        return (
            f"{attempt.task_id} still runs on {other.host}, although the store has forgotten that, and "
            f"on {attempt.host}"
        )
    return ""


def no_attempt_begins_on_a_lease_that_is_over(_: FleetFacts, attempt: FleetAttempt) -> OracleAnswer:
    """A handler is not called once another worker may hold its task."""
    late = attempt.begun - attempt.lease_end
    if late <= 0.001:
        return ""
    return f"{attempt.host} begins {attempt.task_id}, whose lease has been over for {late:.1f} s"


def nothing_is_left_behind(facts: FleetFacts, stop: GracefulStop) -> OracleAnswer:
    """A server that has stopped gracefully holds no task."""
    out_since = stop.begun - facts.settings.lease - CALL_MAX
    if facts.forgotten_since(out_since) or facts.outages[stop.host].any_since(out_since):
        return None
    if not stop.left:
        return ""
    return f"{stop.host} has stopped, and still holds {', '.join(stop.left)}"


def a_stop_takes_no_longer_than_its_graces(facts: FleetFacts, stop: GracefulStop) -> OracleAnswer:
    """A graceful stop ends within `shutdown_grace` and `cleanup_grace`."""
    if facts.outages[stop.host].any_since(stop.begun) or facts.forgotten_since(stop.begun):
        return None
    took = stop.at - stop.begun
    most = facts.settings.shutdown_grace + facts.settings.cleanup_grace + STOP_SLACK
    return "" if took <= most else f"{stop.host} took {took:.1f} s to stop, more than {most:g} s"


def a_cancel_reaches_its_handler(facts: FleetFacts, cancel: AskedCancel) -> OracleAnswer:
    """An active task that is cancelled is asked to stop within a second."""
    for attempt in facts.attempts[cancel.task_id]:
        if not attempt.runs or attempt.begun > cancel.asked:
            continue
        since = cancel.asked - facts.settings.lease  # a slow answer keeps back what comes after it
        if facts.outages[attempt.host].any_since(since) or facts.forgotten_since(attempt.begun):
            return None
        if attempt.current.cancel_reason is not None:
            continue
        waited = cancel.at - cancel.asked
        return f"{cancel.task_id} runs on {attempt.host} as if nobody had cancelled it {waited:.1f} s ago"
    return ""


def a_waiter_hears_of_the_end(facts: FleetFacts, wait: AnsweredWait) -> OracleAnswer:
    """Whoever waits for a task learns of its end at once."""
    since = wait.ended - facts.settings.lease
    if facts.forgotten_since(since) or facts.outages[wait.client].any_since(since):
        return None
    late = wait.at - wait.ended
    if late <= ANSWERED_WITHIN:
        return ""
    return f"{wait.client} waited for {wait.task_id} and learned of its end {late:.1f} s later"


def the_last_progress_is_kept(facts: FleetFacts, kept: KeptProgress) -> OracleAnswer:
    """A task that has completed has the progress that its handler reported last."""
    attempt = kept.attempt
    if facts.outages[attempt.host].any_since(attempt.begun):
        return None
    if facts.forgotten_since(attempt.begun):
        return None
    if kept.percent == attempt.percent:
        return ""
    return (
        f"{attempt.task_id} completed with the progress {kept.percent}, and reported {attempt.percent}"
    )


def no_worker_exceeds_its_slots(facts: FleetFacts, load: HostLoad) -> OracleAnswer:
    """A worker runs `concurrency` attempts at most, and holds no more leases than it has room for."""
    if load.running > load.running_most:
        return f"{load.host} runs {load.running} attempts, and has {load.running_most} slots"
    since = load.at - facts.settings.lease - CALL_MAX
    if facts.outages[load.host].any_since(since) or facts.forgotten_since(since):
        return None
    if load.leases > load.leases_most:
        return f"{load.host} holds {load.leases} leases, and has room for {load.leases_most}"
    return ""


def an_older_token_changes_nothing(_: FleetFacts, settled: SettledOutcome) -> OracleAnswer:
    """A settlement whose lease is another worker's by now changes nothing."""
    before, after = settled.before, settled.after
    if before.deliveries == settled.delivery and before.nonce == settled.nonce:
        return None  # it is the newest token
    if after is before:
        return ""
    return (
        f"{settled.host} settled delivery {settled.delivery} of {settled.task_id}, which is at "
        f"{before.deliveries}, and that changed it from {before.state} to {after.state}"
    )


def nothing_counts_as_done_before_it_is_written(
    _: FleetFacts, settled: SettledOutcome
) -> OracleAnswer:
    """A worker keeps a lease, which takes room, until the outcome is in the store."""
    if settled.held is None:
        return None
    if settled.held:
        return ""
    return f"{settled.host} writes the outcome of {settled.task_id}, and has given its lease up before"


def words(oracle: Oracle) -> str:
    """Return the name of an oracle as a sentence."""
    return oracle.__name__.replace("_", " ")


ORACLES: tuple[Oracle, ...] = (
    no_lease_lapses_without_cause,
    lapsed_leases_are_reclaimed_in_time,
    leases_are_not_reclaimed_early,
    done_work_is_not_done_again,
    attempts_do_not_overlap,
    attempts_end_that_the_store_forgot,
    no_attempt_begins_on_a_lease_that_is_over,
    nothing_is_left_behind,
    a_stop_takes_no_longer_than_its_graces,
    a_cancel_reaches_its_handler,
    a_waiter_hears_of_the_end,
    the_last_progress_is_kept,
    an_older_token_changes_nothing,
    nothing_counts_as_done_before_it_is_written,
    no_worker_exceeds_its_slots,
)
"""All oracles that are asked when something happens. Two more are part of the run: the invariants of
the store after each effect, and that the fleet comes to rest."""
