from __future__ import annotations

import shlex

import attrs
import pytest

from rediq_trio.observe.alerts import LATE, RULES, AlertRule, Severity, alerts_of, step_of
from rediq_trio.observe.types import FailingTypes, TypeView
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.observe.words import shown
from rediq_trio.store.port import ServerMemory
from rediq_trio.values.targets import QueueTargets
from tests.observe.views import (
    AT,
    checked,
    fleet,
    kind,
    queue,
    recent,
    schedule,
    type_stats,
    worker,
)


def failing(part: float) -> QueueView:
    return attrs.evolve(queue(targets=QueueTargets(failures=0.02)), failures=part)


def failing_type(failed: int, of: int) -> QueueView:
    """Return a queue with a type of which, in a day, 3 of 10 attempts failed."""
    recent, day = type_stats("mail\x1b", failed, of), type_stats("mail\x1b", 30, 100)
    types = (TypeView(recent=recent, day=day),)
    return attrs.evolve(queue(), failing=FailingTypes(at=AT, types=types))


FIRES: dict[str, tuple[FleetView, str, str]] = {
    "redis-away": (fleet(away="it is gone"), "redis", "Redis cannot be read: it is gone"),
    "queue-unread": (fleet(unread={"q": "it is gone"}), "q", "it cannot be read: it is gone"),
    "no-worker": (
        fleet(queue(workers=(), pending=1, scheduled=1, retry=1, blocked=1, grouped=1)),
        "q", "no live worker serves it, and it has 5 waiting tasks",
    ),
    "late": (
        fleet(queue(pending=1, oldest_pending_age=LATE + 1)),
        "q", "its oldest pending task has waited for 1 min 1 s",
    ),
    "failing": (
        fleet(failing(0.021)), "q", "2.1 % of the last attempts failed, its target is 2 %",
    ),
    "type-failing": (
        fleet(failing_type(13, 20)), "q",
        r"65 % of its last attempts of mail\x1b failed, and 30 % of those of a day",
    ),
    "dead-growing": (fleet(queue(recent=recent(deaths=3))), "q", "3 tasks died in the last 10 min"),
    "new-failure": (
        fleet(queue(recent=recent(new_kinds=(kind(message="a\x1bb"),)))), "q",
        r"1 kind of failure was first seen within 1 h: 0123456789ab, t: ValueError: a\x1bb",
    ),
    "paused": (fleet(queue(paused=True, pending=2)), "q", "it is paused with 2 pending tasks"),
    "dead": (fleet(queue(dead=1_234)), "q", "it has 1,234 dead tasks"),
    "missed-tick": (
        fleet(checked=checked(overdue=(schedule("n\x1b", ago=90),))), "q",
        r"the tick of its schedule n\x1b was due 1 min 30 s ago",
    ),
    "memory": (
        fleet(checked=checked(memory=(ServerMemory("h:1", 81, 100),))), "h:1",
        "81 B of 100 B of its memory are used (81 %)",
    ),
    "loop-blocked": (
        fleet(workers=(worker(settings={"lease": 30.0}, loop_delay=10.1),)), "w",
        "its event loop was blocked for 10 s",
    ),
    "leases-lost": (fleet(workers=(worker(leases_lost=2),)), "w", "it lost 2 leases in the last 10 min"),
    "unconfirmed": (
        fleet(workers=(worker(unconfirmed=2),)), "w", "2 writes of it were not confirmed in the last 10 min",
    ),
    "stuck": (
        fleet(workers=(worker(stuck=("q/t\x1b",)),)),
        "w", r"1 attempt ran on after its timeout: q/t\x1b",
    ),
}  # fmt: skip
"""A view in which just this rule finds something, the subject, and the sentence."""
SILENT: dict[str, FleetView] = {
    "redis-away": fleet(),
    "queue-unread": fleet(queue()),
    "no-worker": fleet(queue(workers=(), dead=0, completed=3, cancelled=2)),
    "late": fleet(queue(pending=1, oldest_pending_age=LATE)),
    "failing": fleet(failing(0.02), queue(), attrs.evolve(queue(), failures=0.9)),
    "type-failing": fleet(failing_type(12, 20), failing_type(19, 19), failing_type(0, 90)),
    "dead-growing": fleet(queue(recent=recent(failed=9, ended=9)), queue(recent=None)),
    "new-failure": fleet(queue(recent=recent(failed=9, ended=9)), queue(recent=None)),
    "paused": fleet(queue(paused=True, scheduled=1)),
    "dead": fleet(queue(dead_total=9, cancelled=1)),
    "missed-tick": fleet(checked=checked(overdue=None)),
    "memory": fleet(checked=checked(memory=(ServerMemory("a", 80, 100), ServerMemory("b", 9, 0)))),
    "loop-blocked": fleet(
        workers=(worker(settings={"lease": 30.0}, loop_delay=10.0), worker(loop_delay=99.0))
    ),
    "leases-lost": fleet(workers=(worker(leases_lost=0), worker(leases_lost=None))),
    "unconfirmed": fleet(workers=(worker(unconfirmed=0), worker(unconfirmed=None))),
    "stuck": fleet(workers=(worker(running=3),)),
}
"""The nearest view in which it finds nothing."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_fires_alone(rule: object) -> None:
    name = getattr(rule, "name", "")
    view, subject, text = FIRES[name]
    (alert,) = alerts_of(view)
    assert (alert.rule, alert.subject, alert.text) == (name, subject, text)
    assert alert.severity is getattr(rule, "severity", None)
    assert "{}" not in alert.next_step
    assert alert.next_step


@pytest.mark.parametrize("name", SILENT)
def test_each_rule_is_silent_just_below(name: str) -> None:
    assert alerts_of(SILENT[name]) == ()


def test_every_rule_is_tested_and_named_once() -> None:
    names = [rule.name for rule in RULES]
    assert names == [*FIRES] == [*SILENT]
    assert len({*names}) == len(names)
    assert all(rule.means.endswith(".") for rule in RULES)


def test_the_most_severe_come_first() -> None:
    views = [view for view, _, _ in FIRES.values()]
    queues = tuple(
        attrs.evolve(each, name=f"q{n}") for n, view in enumerate(views) for each in view.queues
    )
    workers = tuple(each for view in views for each in view.workers)
    read = checked(overdue=(schedule(ago=90),), memory=(ServerMemory("h:1", 81, 100),))
    everything = fleet(
        *queues, away="gone", unread={"u": "gone"}, workers=workers, checked=read
    )
    severities = [alert.severity for alert in alerts_of(everything)]
    assert severities == sorted(severities, key=[Severity.CRITICAL, Severity.WARN].index)
    assert {alert.rule for alert in alerts_of(everything)} == {rule.name for rule in RULES}


def test_a_paused_queue_is_not_late() -> None:
    view = fleet(queue(paused=True, pending=1, oldest_pending_age=LATE * 2))
    assert [alert.rule for alert in alerts_of(view)] == ["paused"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_to_do_can_be_typed_whatever_the_subject_is_named(rule: AlertRule) -> None:
    hostile = "q; rm -rf ~ $(x) `y` '\x1b[31m\n\u202e"
    step = step_of(rule, hostile)
    assert step.isprintable()
    if "{}" in rule.next_step:
        begin, _, end = rule.next_step.rpartition("{}")
        typed = step[len(begin.replace("{}", shlex.quote(shown(hostile)))) : len(step) - len(end)]
        assert shlex.split(typed) == [shown(hostile)]
    else:
        assert step == rule.next_step


def test_what_died_or_fails_leads_to_the_kinds_of_failure() -> None:
    steps = {rule.name: rule.next_step for rule in RULES}
    for name in ("dead", "failing", "dead-growing", "new-failure"):
        assert steps[name] == "rediq failures {}"


def test_several_schedules_of_a_queue_are_one_alert() -> None:
    some = tuple(schedule(f"s{ago}", ago=ago) for ago in (90, 100))
    (alert,) = alerts_of(fleet(checked=checked(overdue=some)))
    assert alert.text == "the tick of its schedule s100 was due 1 min 40 s ago (and 1 more)"


def test_the_texts_of_a_kind_that_cannot_be_read_are_not_missed() -> None:
    unread = kind(type=None, error_type=None, message=None, unreadable="no key")
    (alert,) = alerts_of(fleet(queue(recent=recent(new_kinds=(unread, unread)))))
    assert alert.text == (
        "2 kinds of failure were first seen within 1 h: 0123456789ab, which cannot be read here"
    )
