"""The pages of the proof: which invariants hold, what is broken, what mends it, and where it began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from rediq_trio.observe.words import counted, duration, shown
from rediq_trio.spec.check.findings import Repair, TargetType, Violation
from rediq_trio.spec.check.meanings import ADVICE, INVARIANTS, MEANINGS
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from rediq_trio.web.pages.checking import Check, Checks, checks_of
from rediq_trio.web.pages.replaying import STEPS_MAX, WITHIN, Replayed, replay_queue
from rediq_trio.web.site.keeping import kept_for
from rediq_trio.web.site.page import Act, Done, NotFound, Page, Refused, Right, Shown, Visit

FINDINGS_SHOWN = 20
"""Violations of an invariant, and repairs, that a page shows."""
REPLAY_KEPT = 30.0
"""Seconds for which a replay is shown again."""
CHECKED_NAME_SHOWN = 60


def rules() -> list[tuple[int, str]]:
    """Return the invariants with their sentences, as plain text."""
    return [(number, text.replace("`", "")) for number, text in INVARIANTS.items()]


async def show_all(visit: Visit) -> Shown:
    """Show which invariants hold in which queues, as the last checks found."""
    checks = checks_of(visit.shared)
    names = [view.name for view in (await visit.fleet()).queues]
    last = {name: checks.last[name] for name in names if name in checks.last}
    good = [one for one in last.values() if not one.error]
    broken = [one for one in good if one.violations]
    return Shown(
        template="check.html",
        title="Check",
        nav="/check",
        values={
            "names": names,
            "last": last,
            "under_way": {name: checks.under_way[name] for name in names if name in checks.under_way},
            "checked": len(good),
            "broken": broken,
            "broken_rules": sorted({each.invariant for one in broken for each in one.violations}),
            "rules": [_rule(number, text, good) for number, text in rules()],
            "oldest": min((one.ended_at for one in good if one.ended_at), default=None),
            "took": sum(one.took for one in good),
            "meanings": MEANINGS,
        },
    )


def _rule(number: int, text: str, checked: Iterable[Check]) -> dict[str, Any]:
    broken = [
        one.queue
        for one in checked
        if any(each.invariant == number for each in one.violations)
    ]
    return {"number": number, "text": text, "broken": broken}


async def _known(visit: Visit) -> str:
    """Return the queue that the path names; raise `NotFound` if it was never used."""
    name = visit.params["queue"]
    if name not in await visit.client.queues():
        raise NotFound(f"There is no queue {shown(name, CHECKED_NAME_SHOWN)}.", "See the list of queues.")
    return name


async def show(visit: Visit) -> Shown:
    """Show what the last check of a queue found, and what can be repaired."""
    name = await _known(visit)
    checks = checks_of(visit.shared)
    one = checks.last.get(name)
    return Shown(
        template="check_queue.html",
        title=f"Check of {name}",
        nav="/check",
        values={
            "queue": name,
            "check": one,
            "under_way": checks.under_way.get(name),
            "groups": [] if one is None else _groups(visit, one.violations),
            "plan": [] if one is None else [_repair(each) for each in one.plan[:FINDINGS_SHOWN]],
            "more": 0 if one is None else max(0, len(one.plan) - FINDINGS_SHOWN),
            "advice": [] if one is None else _advice(one),
            "rules": rules(),
            "broken_rules": set() if one is None else {each.invariant for each in one.violations},
        },
    )


def _groups(visit: Visit, violations: Sequence[Violation]) -> list[dict[str, Any]]:
    """Return the violations by invariant, each with what it means, and the first of them."""
    found: list[dict[str, Any]] = []
    for number in sorted({one.invariant for one in violations}):
        here = [one for one in violations if one.invariant == number]
        found.append(
            {
                "number": number,
                "rule": INVARIANTS[number].replace("`", ""),
                "meaning": MEANINGS[number],
                "some": [_violation(visit, one) for one in here[:FINDINGS_SHOWN]],
                "count": len(here),
                "more": max(0, len(here) - FINDINGS_SHOWN),
            }
        )
    return found


def _violation(visit: Visit, one: Violation) -> dict[str, str]:
    partition, _, local = one.subject.rpartition("/")
    is_task = one.about is TargetType.TASK
    return {
        "subject": one.subject or "the queue",
        "about": "" if one.about in (TargetType.TASK, TargetType.QUEUE) else one.about.value,
        "detail": one.detail,
        "href": visit.link(f"/tasks/{partition or one.queue}/{local}") if is_task else "",
    }


def _repair(one: Repair) -> dict[str, str]:
    return {
        "what": one.what.value,
        "about": one.about.value,
        "subject": one.subject or one.queue,
        "before": one.before,
        "after": one.after,
        "why": one.why,
    }


def _advice(one: Check) -> list[tuple[int, int, str]]:
    left = one.left
    numbers = sorted({each.invariant for each in left})
    return [
        (number, sum(each.invariant == number for each in left), ADVICE[number])
        for number in numbers
    ]


async def begin(visit: Visit) -> Done:
    """Check the queues that the form names, or all of them."""
    known = await visit.client.queues()
    wanted = visit.form.getlist("queue") or known
    names = [name for name in known if name in wanted]
    if not names:
        raise Refused("None of these queues was ever used: nothing was checked.")
    checks: Checks = checks_of(visit.shared)
    started = checks.start(names, visit.visitor.name, visit.client)
    what = names[0] if len(names) == 1 else counted(started, "queue")
    said = f"Checking {what}: it goes on when this page is closed."
    if not started:
        said = "It is being checked already." if len(names) == 1 else "They are being checked already."
    return Done(said=said, to=visit.back("/check"))


async def stop(visit: Visit) -> Done:
    """Stop the check of a queue."""
    name = visit.params["queue"]
    stopped = checks_of(visit.shared).stop(name)
    said = f"Stopped the check of {name}." if stopped else f"No check of {name} was under way."
    return Done(said=said, to=visit.back("/check"))


async def ask_repair(visit: Visit) -> Shown:
    """Ask whether what can be repaired without a guess is to be repaired."""
    name = await _known(visit)
    one = _repairable(visit, name)
    left = len(one.left)
    why = (
        "Each repair is one atomic step that looks again, and leaves alone what is right by now. The queue "
        "is checked again afterwards."
    )
    if left:
        why += f" {counted(left, 'violation')} cannot be repaired without a guess, and will stay."
    return Shown(
        template="repair.html",
        title=f"Repair {name}?",
        nav="/check",
        values={
            "question": f"Make {counted(len(one.plan), 'repair')} in {name}?",
            "why_text": why,
            "verb": f"Repair {len(one.plan):,}",
            "ends": False,
            "to": visit.link(visit.path),
            "back": visit.back(f"/check/{name}"),
            "plan": [_repair(each) for each in one.plan[:FINDINGS_SHOWN]],
            "more": max(0, len(one.plan) - FINDINGS_SHOWN),
        },
    )


def _repairable(visit: Visit, name: str) -> Check:
    one = checks_of(visit.shared).last.get(name)
    if one is None or not one.plan:
        raise Refused(
            f"There is nothing to repair in {name} that the last check found.",
            "Check it again: what can be repaired is planned then.",
            409,
        )
    return one


async def repair(visit: Visit) -> Done:
    """Make the repairs that the last check planned, and check again."""
    name = await _known(visit)
    one = _repairable(visit, name)
    started = checks_of(visit.shared).start((name,), visit.visitor.name, visit.client, repairs=True)
    said = f"Repairing {name}: {counted(len(one.plan), 'repair')}, and then another check."
    if not started:
        said = f"A check of {name} is under way: repair when it has ended."
    return Done(said=said, to=visit.back(f"/check/{name}"), failed=not started)


async def show_replay(visit: Visit) -> Shown:
    """Show where the recorded history of a queue leaves the specification first."""
    name = await _known(visit)
    read = partial(replay_queue, visit.shared.client, name)
    found = await kept_for(REPLAY_KEPT, visit.shared, f"replay {name}", read)
    parts = found or ()
    kept = any(one.history.entries for one in parts)
    return Shown(
        template="replay.html",
        title=f"Replay of {name}",
        nav="/check",
        values={
            "queue": name,
            "slow": found is None,
            "within": duration(WITHIN),
            "most": STEPS_MAX,
            "parts_of": [(one, _steps(one)) for one in parts if one.history.entries],
            "kept": kept,
            "broken": [one for one in parts if one.breaks],
            "rules": dict(rules()),
        },
    )


def _steps(one: Replayed) -> list[dict[str, Any]]:
    first = one.breaks[0] if one.breaks else None
    number = None if first is None else first.entry.number
    return [
        {
            "entry": entry,
            "what": _moved(entry),
            "broken": first.detail if first is not None and entry.number == number else "",
            "after": number is not None and entry.number > number,
        }
        for entry in one.around
    ]


def _moved(entry: Entry) -> str:
    """Return what a step changed, in a few words."""
    if not entry.id:
        key = f" {entry.key}" if entry.key else ""
        return f"{entry.transition}{key}: {list(entry.before)} → {list(entry.after)}"
    reason = entry.reason
    if reason:
        reason = " (encrypted)" if reason.startswith(ENCRYPTED_ERROR) else f", {reason!r}"
    worker = f", by {entry.worker}" if entry.worker else ""
    source, target = entry.source or "new", entry.target or "gone"
    return f"{source} → {target}, delivery {entry.deliveries}, attempt {entry.attempt}{worker}{reason}"


PAGES: tuple[Page, ...] = (
    Page("/check", show_all),
    Page("/check/{queue}", show),
    Page("/check/{queue}/replay", show_replay),
)
ACTS: tuple[Act, ...] = (
    Act("/check-now", begin, need=Right.ACT),
    Act("/check/{queue}/stop", stop, need=Right.ACT),
    Act("/check/{queue}/repair", repair, ask_repair, need=Right.CHANGE),
)
