"""What the views of the last hour said of workers: those that are gone, and how many slots there were.

Redis forgets a worker that has ended. The site remembers it for a while, from the views that its pages
showed: of what happened while nobody looked it knows nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from typing import Literal

import attrs

from rediq_trio.observe.views import FleetView
from rediq_trio.values.task import WorkerInfo

GONE_SHOWN = dt.timedelta(minutes=10)
"""How long a worker that is gone is shown."""
GONE_MAX = 50
"""Workers that are gone and shown, at most."""
SLOTS_KEPT = 5_000
"""Changes of the number of slots that are kept."""
SILENT_BEATS = 2.0
"""A worker that was missed when its last heartbeat was older than so many beats had fallen silent."""
RECORD_LASTS, UNSEEN_LEAST = 4.0, 10.0
"""Beats for which a record counts, and seconds: with no view for longer, nobody knows how a worker ended."""
WorkerEnding = Literal["stopped", "silent", "unseen"]


@attrs.frozen(kw_only=True)
class GoneWorker:
    """A worker that was there, and is not."""

    info: WorkerInfo
    """What it had said last."""
    seen_gone: dt.datetime
    """When it was missed first."""
    ending: WorkerEnding
    """Whether it said that it ends, its record ran out because no heartbeat came, or nobody looked."""

    @property
    def why(self) -> str:
        """What became of it, in words."""
        if self.ending == "stopped":
            return "stopped in good order"
        if self.ending == "unseen":
            return "gone: nobody looked when it ended"
        running = self.info.running
        after = (
            f"; what it ran, {running}, goes to others once its leases are over" if running else ""
        )
        return f"silent: no heartbeat came{after}"


@attrs.define(eq=False)
class FleetMemory:
    """Remembers what views said of workers."""

    slots: deque[tuple[dt.datetime, int]] = attrs.field(
        factory=lambda: deque[tuple[dt.datetime, int]](maxlen=SLOTS_KEPT)
    )
    """From when on there were how many slots."""
    view: FleetView | None = None
    """The last view of Redis; None if there was none."""
    _gone: dict[str, GoneWorker] = attrs.field(factory=dict[str, GoneWorker])
    _live: dict[str, WorkerInfo] = attrs.field(factory=dict[str, WorkerInfo])
    _at: dt.datetime | None = None

    def note(self, view: FleetView) -> None:
        """Remember a view; one that was noted, or is not of Redis, changes nothing."""
        if view.away is not None or (self._at is not None and view.at <= self._at):
            return
        live = {key_of(each): each for each in view.workers}
        for key, info in self._live.items():
            if key not in live:
                self._gone[key] = _gone(info, self._at or view.at, view.at)
        for key in live:
            self._gone.pop(key, None)
        self._forget(view.at)
        total = sum(each.concurrency for each in live.values())
        if not self.slots:
            # Since the youngest came, these were there; what was before is not known.
            known = max((each.started_at for each in live.values()), default=view.at)
            self.slots.append((min(known, view.at), total))
        elif self.slots[-1][1] != total:
            self.slots.append((view.at, total))
        self._live, self._at, self.view = live, view.at, view

    def _forget(self, now: dt.datetime) -> None:
        for key, each in list(self._gone.items()):
            if now - each.info.last_heartbeat > GONE_SHOWN:
                del self._gone[key]
        while len(self._gone) > GONE_MAX:
            del self._gone[next(iter(self._gone))]

    def gone(self, now: dt.datetime) -> list[GoneWorker]:
        """Return the workers that have gone in the last minutes, the last first."""
        some = [each for each in self._gone.values() if now - each.info.last_heartbeat < GONE_SHOWN]
        return sorted(some, key=lambda each: each.info.last_heartbeat, reverse=True)


def _gone(info: WorkerInfo, seen_at: dt.datetime, at: dt.datetime) -> GoneWorker:
    """Return a worker that was in the view of one instant, and is not in that of the next."""
    beat = heartbeat_of(info)
    ending: WorkerEnding = "stopped"
    if info.state != "stopping":
        if (at - seen_at).total_seconds() > max(UNSEEN_LEAST, RECORD_LASTS * beat):
            ending = "unseen"
        elif (seen_at - info.last_heartbeat).total_seconds() > SILENT_BEATS * beat:
            ending = "silent"
    return GoneWorker(info=info, seen_gone=at, ending=ending)


def heartbeat_of(info: WorkerInfo) -> float:
    """Return the seconds between two heartbeats of a worker, as far as it says."""
    settings = info.settings or {}
    beat, lease = settings.get("heartbeat"), settings.get("lease")
    if isinstance(beat, int | float):
        return float(beat)
    return lease / 3 if isinstance(lease, int | float) else 10.0


def key_of(info: WorkerInfo) -> str:
    """Return what tells the starts of workers apart."""
    return info.instance or f"{info.id} {info.started_at.isoformat()}"
