"""The frame of every page: what stands above and below it, from the view that all share."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs

from rediq_trio import __version__
from rediq_trio.observe.alerts import Alert, Severity, alerts_of
from rediq_trio.observe.views import FleetView
from rediq_trio.web.site.page import Visit
from rediq_trio.web.site.settings import THEMES, Chosen
from rediq_trio.web.site.templating import make_environment, render, thin
from rediq_trio.web.site.toast import Toast
from rediq_trio.web.site.words import NAVIGATION

COLORS = ("a", "b", "c")
"""The colors that tell environments apart."""


@attrs.frozen(kw_only=True)
class NavigationEntry:
    """One page in the navigation, with its count."""

    path: str
    word: str
    count: str = ""
    ink: str = ""
    """The state in whose color the count is; "" for a faint one."""


class Frame:
    """Draws pages in the frame of one site."""

    def __init__(self, name: str, color: str, where: str) -> None:
        self._name = name
        self._color = color
        self._where = where
        self._environment = make_environment(alert_link=alert_link)

    def draw(
        self,
        visit: Visit,
        view: FleetView | None,
        template: str,
        values: dict[str, Any],
        *,
        chosen: Chosen,
        away_since: dt.datetime | None = None,
        part: bool = False,
        toast: Toast | None = None,
    ) -> str:
        """Return the HTML of a page. A `part` is what changes of it, for the script.

        Without a view, for a visitor who may not look, nothing is said of the fleet.
        """
        alerts = () if view is None else alerts_of(view)
        frame = {
            "visit": visit,
            "part": part,
            "template": template,
            "environment": self._name,
            "color": self._color,
            "where": self._where,
            "version": __version__,
            "view": view,
            "away_since": away_since,
            "away": None if view is None else view.away,
            "alerts": alerts,
            "navigation": [] if view is None else navigation(view),
            "theme": chosen.theme,
            "themes": THEMES,
            "local": chosen.local,
            "toast": toast,
            "critical": [each for each in alerts if each.severity is Severity.CRITICAL],
        }
        return render(self._environment, template, {**frame, **values})


def navigation(view: FleetView) -> list[NavigationEntry]:
    """Return the pages that each page leads to, with what there is to see."""
    new = sum(len(each.recent.new_kinds) for each in view.queues if each.recent is not None)
    dead = sum(each.stats.dead for each in view.queues)
    overdue = view.checked.overdue if view.checked is not None else None
    counts = {
        "/queues": (thin(len(view.queues)), ""),
        "/failures": (f"{new} new" if new else "", "dead"),
        "/dead": (thin(dead) if dead else "", ""),
        "/workers": (thin(len(view.workers)), ""),
        "/schedules": (f"{len(overdue)} late" if overdue else "", "retry"),
    }
    found: list[NavigationEntry] = []
    for path, word in NAVIGATION:
        count, ink = counts.get(path, ("", ""))
        found.append(NavigationEntry(path=path, word=word, count=count, ink=ink))
    return found


def alert_link(visit: Visit, alert: Alert) -> tuple[str, str]:
    """Return where to look about an alert, and the word for it."""
    subject = alert.subject
    match alert.rule:
        case "redis-away" | "memory":
            return visit.link("/help"), "Help"
        case "no-worker":
            return visit.link("/workers"), "Workers"
        case "loop-blocked" | "leases-lost" | "unconfirmed" | "stuck":
            return visit.link(f"/workers/{subject}"), "Worker"
        case "failing" | "type-failing" | "new-failure" | "dead-growing":
            return visit.link("/failures", queue=subject), "Failures"
        case "dead":
            return visit.link("/dead", queue=subject), "Dead"
        case "missed-tick":
            return visit.link("/schedules"), "Schedules"
        case _:
            return visit.link(f"/queues/{subject}"), "Queue"
