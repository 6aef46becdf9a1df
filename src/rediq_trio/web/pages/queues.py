"""The list of queues, and one queue with all that is known of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from rediq_trio._errors import did_you_mean
from rediq_trio.observe.alerts import Alert, alerts_of
from rediq_trio.observe.filter_line import filter_word
from rediq_trio.observe.type_steps import NO_ATTEMPTS, TYPES_STEP, AttemptCounts, TypeSteps, total
from rediq_trio.observe.views import FleetView, QueueView, drains_in, rate_of
from rediq_trio.observe.words import count, counted, duration, rate, share, shown, size
from rediq_trio.spec.lifecycle import State
from rediq_trio.web.drawing.small import slots as slots_drawing
from rediq_trio.web.drawing.small import spark
from rediq_trio.web.fleet_parts.chart_sets import chart_data, depths_chart, rates_chart, waits_chart
from rediq_trio.web.fleet_parts.queue_acts import ACTS as QUEUE_ACTS
from rediq_trio.web.fleet_parts.queue_facts import QueueFacts, read_facts, why_of
from rediq_trio.web.fleet_parts.queue_table import (
    QueueCondition,
    condition_of,
    queue_rows,
    sorted_rows,
)
from rediq_trio.web.fleet_parts.readings import (
    read_all_marks,
    read_all_series,
    read_all_types,
    seen,
)
from rediq_trio.web.fleet_parts.spans import HOUR, SPANS, Span, span_of
from rediq_trio.web.site.page import Act, NotFound, Page, Shown, Visit

FILTER_MAX = 128
PAGE = 200
"""Queues on a page."""
_BADGES = {
    "dead": ("dead", "bad"),
    "retry": ("retry", "warning"),
    "cancelled": ("cancelled", "off"),
}


async def show_list(visit: Visit) -> Shown:
    """Show all queues, or those whose name has the text that is looked for."""
    view = await seen(visit)
    wanted = (visit.query.get("q") or "")[:FILTER_MAX].strip()
    names = [each.name for each in view.queues if wanted.lower() in each.name.lower()]
    series = await read_all_series(visit, view, names, HOUR.length)
    types = await read_all_types(visit, view, names, HOUR.length)
    some = attrs.evolve(view, queues=tuple(each for each in view.queues if each.name in names))
    found = queue_rows(some, alerts_of(view), series, types)
    sort, rows = sorted_rows(found, visit.query.get("sort") or "trouble")
    page = _page_of(visit, len(rows))
    values = {
        "why": list_why(view),
        "wanted": wanted,
        "view": view,
        "rows": rows[page * PAGE : (page + 1) * PAGE],
        "rows_of": len(rows),
        "queues_of": len(view.queues),
        "newer": visit.here(page=page - 1 or None) if page else "",
        "older": visit.here(page=page + 1) if (page + 1) * PAGE < len(rows) else "",
        "sort": sort,
        "span": HOUR,
    }
    return Shown(template="queues.html", title="Queues", nav="/queues", values=values)


def _page_of(visit: Visit, rows: int) -> int:
    given = visit.query.get("page") or ""
    page = int(given[:6]) if given.isascii() and given.isdecimal() else 0
    return min(page, max(0, (rows - 1) // PAGE))


def list_why(view: FleetView) -> str:
    """Return how the queues are, in one sentence."""
    if not view.queues:
        return "No queue was ever used here."
    critical = {each.subject for each in alerts_of(view) if each.severity == "critical"}
    bad = [each.name for each in view.queues if each.name in critical]
    paused = [each.name for each in view.queues if each.stats.paused]
    waiting = sum(each.waiting for each in view.queues)
    said = [f"{counted(waiting, 'task')} wait in {counted(len(view.queues), 'queue')}"]
    if bad:
        names = ", ".join(map(shown, bad[:3])) + (" and others" if len(bad) > 3 else "")
        said.append(f"{names} {'stands' if len(bad) == 1 else 'stand'} still")
    if paused:
        said.append(f"{counted(len(paused), 'is', 'are')} paused".replace("1 is", "one is"))
    return "; ".join(said) + "."


@attrs.frozen(kw_only=True)
class TypeRow:
    """A type of task in one queue, as a row."""

    type: str
    counts: AttemptCounts
    rate: float
    spark: Markup

    @property
    def ink(self) -> str:
        """The state in whose ink its failures are: that of death where one of ten or more fails."""
        part = self.counts.failure_rate
        return "dead ink" if part is not None and part >= 0.1 else ""


def type_rows(types: TypeSteps | None, span: Span) -> list[TypeRow]:
    """Return the types of a queue, the busiest first."""
    if types is None:
        return []
    length = min(span.length, dt.timedelta(hours=24))
    # Steps begin at multiples of five minutes: the oldest began before what is asked for.
    first = dt.datetime.fromtimestamp(
        (types.at - length).timestamp() // TYPES_STEP.total_seconds() * TYPES_STEP.total_seconds(),
        dt.UTC,
    )
    seconds = (types.at - first).total_seconds()
    instants = [
        first + TYPES_STEP * n for n in range(int(seconds // TYPES_STEP.total_seconds()) + 1)
    ]
    each = max(1, len(instants) // 48)
    rows: list[TypeRow] = []
    for name, steps in types.types.items():
        counts = total(steps.values())
        done = [
            float(sum(steps.get(at, NO_ATTEMPTS).ended for at in instants[n : n + each]))
            for n in range(0, len(instants), each)
        ]
        rows.append(
            TypeRow(
                type=name,
                counts=counts,
                rate=counts.ended / max(1.0, seconds),
                spark=spark(done, width=150, height=18, bars=True),
            )
        )
    return sorted((row for row in rows if row.counts.ended), key=lambda row: -row.counts.ended)


async def show(visit: Visit) -> Shown:
    """Show one queue."""
    view, name = await seen(visit), visit.params["queue"]
    queue = view.queue(name)
    if queue is None:
        return _unread(view, name)
    span = span_of(visit)
    alerts = [each for each in alerts_of(view) if each.subject == name]
    series = await read_all_series(visit, view, [name], span.length)
    types = await read_all_types(visit, view, [name], span.length)
    marks = await read_all_marks(visit, view)
    data = chart_data(visit, view, span, list(series.values()), list(types.values()), marks)
    condition = condition_of(queue, alerts, view.at)
    facts = await read_facts(visit, view, queue)
    own = series.get(name)
    why = why_of(view, queue, facts, alerts)
    values = {
        "queue": queue,
        "view": view,
        "why": why,
        "condition": _badge(condition, alerts),
        "head_facts": _head_facts(
            queue, facts, rate_of(own, queue), drains_in(queue, own, rate_of(own, queue))
        ),
        "tabs": [(state.value, getattr(queue.stats, state.value)) for state in State],
        "spans": SPANS,
        "span": span,
        "sampled": bool(data.series.points),
        "charts": [
            rates_chart(data),
            waits_chart(data, queue.stats.targets.latency, ages=True),
            depths_chart(data, view, [name]),
        ],
        "types": type_rows(types.get(name), span),
        "facts": facts,
        "size": size,
        "word_of": filter_word,
        "slots_of": slots_drawing,
        "alerts_here": [each for each in alerts if not _is_said(each, queue, why)],
    }
    return Shown(template="queue.html", title=name, nav="/queues", values=values)


def _unread(view: FleetView, name: str) -> Shown:
    if name in view.unread:
        values = {
            "why": f"It cannot be read: {view.unread[name]}",
            "next_step": "Look at the server of its slot; if a newer version of rediq-trio wrote it, upgrade "
            "this page. The other queues are shown as they are.",
        }
        return Shown(template="gone.html", title=name, nav="/queues", values=values, status=503)
    hint = did_you_mean(name, [each.name for each in view.queues])
    raise NotFound(
        f"there is no queue {shown(name, 128)}{hint}",
        "A queue is there once a task was enqueued in it, or a worker serves it, until it is removed.",
    )


def _is_said(alert: Alert, queue: QueueView, why: str) -> bool:
    """Return whether the rest of the head says what an alert does."""
    if alert.rule in ("paused", "late", "dead"):
        return True
    unserved = alert.rule == "no-worker" and not queue.stats.paused
    return unserved or shown(alert.text)[1:].rstrip(".") in why


_BADGE_WORDS = {
    "no-worker": "stands still", "queue-unread": "unread", "late": "late", "missed-tick": "schedule overdue",
    "failing": "failing", "type-failing": "failing", "dead-growing": "failing", "new-failure": "failing",
}  # fmt: skip
"""The word of a badge, by the rule of the worst alert."""


def _badge(condition: QueueCondition, alerts: Sequence[Alert]) -> tuple[str, str, str] | None:
    """Return the ink, shape and word of the badge; None for a queue that is as it should be."""
    if not condition.trouble:
        return None
    ink, shape = _BADGES[condition.ink]
    word = "paused" if condition.ink == "cancelled" else _BADGE_WORDS.get(alerts[0].rule, "look")
    return ink, shape, word


def _head_facts(queue: QueueView, facts: QueueFacts, done: float, drains: str) -> list[str]:
    stats = queue.stats
    said = [f"{counted(len(queue.workers), 'worker serves', 'workers serve')} it"]
    if facts.desired is not None:
        said.append(
            f"{count(facts.desired)} would be enough" if facts.desired else "needs none now"
        )
    said.append(f"{rate(done)} done")
    if stats.pending:
        if drains[:1].isdigit():
            said.append(f"drains in {drains}")
        elif drains == "grows":
            said.append("grows")
    goals: list[str] = []
    if stats.targets.latency is not None:
        goals.append(f"wait {duration(stats.targets.latency)}")
    if stats.targets.failures is not None:
        goals.append(f"failures {share(stats.targets.failures)}")
    said.append("target: " + ", ".join(goals) if goals else "no target")
    return said


PAGES: tuple[Page, ...] = (Page("/queues", show_list), Page("/queues/{queue}", show))
ACTS: tuple[Act, ...] = QUEUE_ACTS
