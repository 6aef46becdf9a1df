"""Seen: what all pages show and act on: the view of the fleet, and what is said and asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from rediq_trio.dash.question import AskedQuestion, Prompt, StartedAct
from rediq_trio.observe.alerts import Alert, alerts_of
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.series import Series


@attrs.define(eq=False, kw_only=True)
class Seen:
    """What was read last, and what is to be read or done next."""

    start: Callable[[StartedAct], None]
    """Does something in Redis; never waits."""
    read_only: bool = False
    where: str = ""
    """The server."""
    environment: str = ""
    """What the operators call what they look at, such as production."""
    view: FleetView | None = None
    alerts: tuple[Alert, ...] = ()
    series: dict[str, Series] = attrs.field(factory=dict[str, Series])
    """The last hour of queues, by name."""
    waits: dict[str, float] = attrs.field(factory=dict[str, float])
    """How long 95 of 100 attempts of the last minutes had waited, seconds, by queue."""
    since: dict[tuple[str, str], dt.datetime | None] = attrs.field(
        factory=dict[tuple[str, str], dt.datetime | None]
    )
    """When each alert was raised, by its rule and subject; None for those that the first view had."""
    question: AskedQuestion | None = None
    prompt: Prompt | None = None
    edit: Callable[[str], StartedAct] | None = None
    """Returns what edits a task in the editor of whoever is at the terminal; None where there is none."""
    views: int = 0
    """How many views were shown."""
    said: str = ""
    """What is said in one line until the next key."""
    refused: bool = False
    """Whether `said` is bad news."""
    frozen: bool = False
    away_since: dt.datetime | None = None

    @property
    def away(self) -> bool:
        """Whether Redis does not answer."""
        return self.away_since is not None

    def see(self, view: FleetView) -> None:
        """Show a view, unless the screen is frozen."""
        if view.away is None:
            self.away_since = None
        elif self.away_since is None:
            self.away_since = utc_now()
        if self.view is None or not self.frozen or view.away is not None:
            raised = None if self.view is None else view.at
            self.view, self.alerts, self.views = view, alerts_of(view), self.views + 1
            keys = [(each.rule, each.subject) for each in self.alerts]
            self.since = {key: self.since.get(key, raised) for key in keys}

    def say(self, text: str, *, refused: bool = False) -> None:
        """Show one line until the next key."""
        self.said, self.refused = " ".join(text.split()), refused

    def answer(self, found: str | AskedQuestion) -> None:
        """Show what came of something that was started."""
        if isinstance(found, AskedQuestion):
            self.question = found
        elif found:
            self.say(found)

    def queue(self, name: str) -> QueueView | None:
        """Return the view of a queue; None if there is none of that name."""
        return None if self.view is None else self.view.queue(name)
