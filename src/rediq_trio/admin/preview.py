"""What can be done of the tasks of a selection, counted without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

from rediq_trio._errors import NewerTask
from rediq_trio.admin.bulk import Selected, SelectedScan
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.intake import obstacle_of
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.messages import Obstacle, Until
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.store.reads.description import Description
from rediq_trio.tasks.for_each import first_failure, try_each
from rediq_trio.values.observed.bulk import Possible, SelectionPreview

ACTIVE = "a worker runs it: cancel it first"
ENDED = "it has ended"
NOT_ENDED = "it has not ended"
COMPLETED = "it has completed"
KEY_TAKEN = "its unique key has another holder"
NEEDED_FAILED = "a task that it needs did not complete: retry that one first"
IS_GONE = "it is gone"
STAYS = MappingProxyType(
    {
        Obstacle.UNIQUE_KEY: "it has a unique key",
        Obstacle.GROUP: "it is of a group",
        Obstacle.DEPENDENTS: "other tasks depend on it",
        Obstacle.WAITERS: "someone waits for its end",
        Obstacle.KEPT: "it keeps results of steps, or of tasks that it depended on",
        Obstacle.CHANGED: "it is a batch",
    }
)
"""Why a task stays in its queue; see `docs/bulk.md`."""


async def preview(selected: Selected) -> SelectionPreview:
    """Read the tasks of a selection, and count what can be done of them."""
    found = {name: Counter[str]() for name in ("retry", "cancel", "delete", "requeue")}
    scan, state = SelectedScan(selected), selected.state
    while (part := await scan.step()) is not None:
        name, records = part
        reasons = await _retried(selected.reader.store, name, records, state)
        for record, reason in zip(records, reasons, strict=True):
            found["retry"][reason] += 1
            found["cancel"]["" if state in WAITING or state is State.ACTIVE else ENDED] += 1
            found["delete"][ACTIVE if state is State.ACTIVE else ""] += 1
            found["requeue"][_moved(record)] += 1
    return SelectionPreview(
        count=sum(found["cancel"].values()),
        **{name: _possible(reasons) for name, reasons in found.items()},
    )


def _possible(reasons: Counter[str]) -> Possible:
    cannot = {reason: reasons[reason] for reason in sorted(reasons) if reason}
    return Possible(can=reasons[""], cannot=MappingProxyType(cannot))


def _moved(record: Record) -> str:
    obstacle = obstacle_of(record, record.version)
    if obstacle is None:
        return ""
    return f"it is {record.state.value}" if obstacle is Obstacle.STATE else STAYS[obstacle]


async def _retried(store: Store, name: str, records: Sequence[Record], state: State) -> list[str]:
    """Return for each task why it cannot be retried, '' if it can."""
    if state not in (State.DEAD, State.CANCELLED):
        return [COMPLETED if state is State.COMPLETED else NOT_ENDED] * len(records)
    # Only of these does it depend on others, which their records do not say.
    related = [r.id for r in records if r.waits or (r.unique and r.until is not Until.EXPIRED)]
    if not related:
        return [""] * len(records)
    found, failures = await try_each(related, lambda one: store.description(name, one))
    failed = {one: error for one, error in failures.items() if not isinstance(error, NewerTask)}
    if failed:
        raise first_failure(related, failed)
    reasons = {one: _refusal(found.get(one)) for one in related}
    return [reasons.get(record.id, "") for record in records]


def _refusal(one: Description | None) -> str:
    if one is None:
        return IS_GONE
    record = one.record
    keyed = record.unique and record.until is not Until.EXPIRED
    # Of a key with a time, the window may be over.
    if keyed and one.lock is not None and (not one.lock.till_ms or one.lock.till_ms > one.now_ms):
        return KEY_TAKEN
    if record.run_on_dependency_failure:
        return ""
    bad = (None, State.DEAD, State.CANCELLED, State.GROUPED)
    # What is known of tasks in other queues comes with their messages.
    here = [state for ref, state in one.needs if not split_ref(ref)[0]]
    return NEEDED_FAILED if any(state in bad for state in here) else ""
