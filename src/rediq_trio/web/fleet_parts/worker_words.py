"""What is said of a worker: its health in words, its slots, what it runs, and what is out of the way."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import attrs
from markupsafe import Markup

from rediq_trio.observe.finders import BLOCKED_PART
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted, duration, shown
from rediq_trio.values.observed.workers import RunningTask
from rediq_trio.values.task import WorkerInfo
from rediq_trio.web.drawing.small import slots
from rediq_trio.web.fleet_parts.memory import GoneWorker, heartbeat_of

RUNNING_SHOWN = 3
BEATS_LATE = 2.5
"""Heartbeats after which the last one is late."""
MUCH = 1024**3
"""Bytes of memory from which on it is said in the ink of a warning."""


@attrs.frozen
class WorkerHealthWords:
    """How a worker is: a mark, its ink, and words."""

    shape: str
    ink: str
    text: str
    trouble: int = 0


@attrs.frozen(kw_only=True)
class WorkerRow:
    """A worker, as a row."""

    info: WorkerInfo
    key: str
    """What leads to its page: its instance, or its id for an older version."""
    health: WorkerHealthWords
    slots: Markup
    running: tuple[RunningTask, ...]
    more: int
    """Attempts that run and are not among `running`."""
    blocked: bool
    """Whether its event loop was blocked for too long."""
    other_version: bool
    gone: GoneWorker | None = None

    @property
    def beat_late(self) -> bool:
        """Whether its heartbeat is late."""
        return self.health.shape == "away"

    @property
    def much_memory(self) -> bool:
        """Whether its process takes a lot of memory."""
        return (self.info.memory or 0) >= MUCH


def is_blocked(info: WorkerInfo) -> bool:
    """Return whether the event loop of a worker was late by more than a part of its lease."""
    lease = (info.settings or {}).get("lease")
    delay = info.loop_delay
    return isinstance(lease, int | float) and delay is not None and delay > lease / BLOCKED_PART


def health_of(info: WorkerInfo, now: dt.datetime) -> WorkerHealthWords:
    """Return how a worker is, what is worst first."""
    silent_for = (now - info.last_heartbeat).total_seconds()
    if silent_for > heartbeat_of(info) * BEATS_LATE:
        return WorkerHealthWords("away", "dead", f"silent for {duration(silent_for)}", 3)
    if info.health is not None and not info.health.alive:
        return WorkerHealthWords("bad", "dead", _reasons(info, "not alive"), 3)
    if info.stuck:
        some = counted(len(info.stuck), "attempt")
        return WorkerHealthWords("warning", "retry", f"{some} ran on after its timeout", 2)
    if is_blocked(info):
        words = f"event loop was blocked for {duration(info.loop_delay or 0)}"
        return WorkerHealthWords("warning", "retry", words, 2)
    if info.leases_lost:
        some = counted(info.leases_lost, "lease")
        return WorkerHealthWords("warning", "retry", f"lost {some} in 10 min", 2)
    if info.unconfirmed:
        some = counted(info.unconfirmed, "write was", "writes were")
        return WorkerHealthWords("warning", "retry", f"{some} not confirmed in 10 min", 2)
    match info.state:
        case "quiet":
            rest = f": finishes {info.running}" if info.running else ": nothing left to finish"
            return WorkerHealthWords("off", "cancelled", f"quiet{rest}", 1)
        case "stopping":
            return WorkerHealthWords("off", "cancelled", f"stops: finishes {info.running}", 1)
        case "starting":
            return WorkerHealthWords("well", "active", "starts", 0)
        case _ if info.health is not None and not info.health.ready:
            return WorkerHealthWords("warning", "retry", _reasons(info, "not ready"), 2)
        case _:
            full = info.running >= info.concurrency
            return WorkerHealthWords(
                "well", "completed", "ready, all slots taken" if full else "ready", 0
            )


def _reasons(info: WorkerInfo, otherwise: str) -> str:
    reasons = () if info.health is None else info.health.reasons
    return shown("; ".join(reasons), 160) or otherwise


def worker_row(
    info: WorkerInfo, now: dt.datetime, version: str, *, most: int = RUNNING_SHOWN
) -> WorkerRow:
    """Return a live worker as a row; `version` is that of most workers."""
    running = sorted(info.running_tasks or (), key=lambda task: (task.since, task.id))
    health = health_of(info, now)
    ink = "cancelled" if info.state in ("quiet", "stopping") else "active"
    return WorkerRow(
        info=info,
        key=info.instance or info.id,
        health=health,
        slots=slots(min(info.running, info.concurrency), info.concurrency, ink=ink, width=160),
        running=tuple(running[:most]),
        more=max(0, info.running - len(running[:most])),
        blocked=is_blocked(info),
        other_version=info.version != version,
    )


def gone_row(gone: GoneWorker) -> WorkerRow:
    """Return a worker that is gone as a row."""
    ink, shape = ("dead", "away") if gone.ending == "silent" else ("cancelled", "off")
    return WorkerRow(
        info=gone.info, key=gone.info.instance or gone.info.id, gone=gone,
        health=WorkerHealthWords(shape, ink, gone.why), slots=Markup(), running=(), more=0,
        blocked=False, other_version=False,
    )  # fmt: skip


def usual_version(workers: Sequence[WorkerInfo]) -> str:
    """Return the version of most workers; the highest of those that as many have."""
    counts = Counter(each.version for each in workers)
    return max(counts, key=lambda version: (counts[version], version), default="")


def fleet_why(view: FleetView, gone: Sequence[GoneWorker]) -> str:
    """Return how the workers are, in a sentence or two: queues that nobody serves, then who is not well."""
    said: list[str] = []
    unserved = [each.name for each in view.queues if each.waiting and not each.workers]
    if not view.workers:
        waiting = sum(each.waiting for each in view.queues)
        return f"No worker is alive, and {counted(waiting, 'task waits', 'tasks wait')}." + _last(
            gone, view.at
        )
    if unserved:
        lost = _who_served(unserved[0], gone)
        names = ", ".join(shown(each, 60) for each in unserved[:3])
        more = f" and {len(unserved) - 3} more" if len(unserved) > 3 else ""
        what = f"Nobody serves {names}{more}, where tasks wait"
        said.append(f"{what}: {lost}." if lost else f"{what}.")
    unwell = [(each, health_of(each, view.at)) for each in view.workers]
    bad = sorted(
        (each for each in unwell if each[1].trouble >= 2), key=lambda each: -each[1].trouble
    )
    if bad:
        worker, health = bad[0]
        more = (
            f", and {len(bad) - 1} more {'is' if len(bad) == 2 else 'are'} not well"
            if len(bad) > 1
            else ""
        )
        said.append(f"{shown(worker.id, 60)}: {health.text}{more}.")
    if not said:
        free = sum(max(0, each.concurrency - each.running) for each in view.workers)
        said.append(f"All are well, and {counted(free, 'slot is', 'slots are')} free.")
    return " ".join(said)


def _who_served(queue: str, gone: Sequence[GoneWorker]) -> str:
    last = next((each for each in gone if queue in each.info.queues), None)
    if last is None:
        return ""
    return f"the last worker of {shown(queue, 60)}, {shown(last.info.id, 60)}, {last.why}"


def _last(gone: Sequence[GoneWorker], now: dt.datetime) -> str:
    if not gone:
        return ""
    ago = duration((now - gone[0].info.last_heartbeat).total_seconds())
    return f" The last heartbeat was that of {shown(gone[0].info.id, 60)}, {ago} ago."
