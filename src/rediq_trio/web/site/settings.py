"""What a visitor chooses for the browser: the theme and the time zone; and the cookies that keep it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo, available_timezones

import attrs
from starlette.responses import RedirectResponse, Response

from rediq_trio.web.site.page import Visit

THEMES = ("system", "light", "dark")
SETTINGS_LAST = 365 * 86_400
"""Seconds for which the cookies are kept."""

COOKIES = {"theme": "rediq_theme", "zone": "rediq_zone", "place": "rediq_place"}
"""The cookie of each field of the form."""
SETTING_MAX = 64
"""Characters that are kept of a value."""


@attrs.frozen
class Chosen:
    """The theme, and whether times are UTC or those of the visitor."""

    theme: str = "system"
    local: bool = False
    zone_name: str = ""
    """The browser's zone, if its script has said it: "Europe/Berlin"."""

    @classmethod
    def of(cls, cookies: Mapping[str, str]) -> Chosen:
        """Return what cookies say; what is not understood is left at its default."""
        theme = cookies.get(COOKIES["theme"], "")
        zone = cookies.get(COOKIES["zone"], "")
        name = cookies.get(COOKIES["place"], "")
        return cls(theme if theme in THEMES else "system", zone == "local", name)

    @property
    def zone(self) -> dt.tzinfo:
        """The zone of what is shown; that of this server where the browser's is not known."""
        if not self.local:
            return dt.UTC
        if self.zone_name and self.zone_name in available_timezones():
            return ZoneInfo(self.zone_name)
        here = dt.datetime.now().astimezone().tzinfo
        return here or dt.UTC


def set_cookie(response: Response, visit: Visit, name: str, value: str, lasts: int) -> None:
    """Set a cookie that only this site gets, and no script reads. `lasts` is in seconds."""
    response.set_cookie(
        name,
        value,
        max_age=lasts,
        path=visit.base or "/",
        secure=visit.origin.startswith("https:"),
        httponly=True,
        samesite="strict",
    )


def chosen_settings(visit: Visit) -> Response:
    """Keep the theme or the zone that the visitor chose, and go back to the page."""
    response = RedirectResponse(visit.back("/"), 303)
    for field, name in COOKIES.items():
        if (value := visit.form.get(field)) is not None:
            set_cookie(response, visit, name, value[:SETTING_MAX], SETTINGS_LAST)
    return response
