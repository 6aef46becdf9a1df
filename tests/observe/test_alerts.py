from __future__ import annotations

import attrs
import pytest

from rediq_trio.observe.alerts import LATE, RULES, Severity, alerts_of
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.values.targets import QueueTargets
from tests.observe.views import fleet, queue, worker


def failing(part: float) -> QueueView:
    return attrs.evolve(queue(targets=QueueTargets(failures=0.02)), failures=part)


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
    "paused": (fleet(queue(paused=True, pending=2)), "q", "it is paused with 2 pending tasks"),
    "dead": (fleet(queue(dead=1_234)), "q", "it has 1,234 dead tasks"),
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
    "paused": fleet(queue(paused=True, scheduled=1)),
    "dead": fleet(queue(dead_total=9, cancelled=1)),
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
    everything = fleet(
        *queues, away="gone", unread={"u": "gone"}, workers=(worker(stuck=("q/t",)),)
    )
    severities = [alert.severity for alert in alerts_of(everything)]
    assert severities == sorted(severities, key=[Severity.CRITICAL, Severity.WARN].index)
    assert {alert.rule for alert in alerts_of(everything)} == {rule.name for rule in RULES}


def test_a_paused_queue_is_not_late() -> None:
    view = fleet(queue(paused=True, pending=1, oldest_pending_age=LATE * 2))
    assert [alert.rule for alert in alerts_of(view)] == ["paused"]
