"""The pages of the keys, the states and the versions, and of who one is."""

from __future__ import annotations

import platform

from rediq_trio import __version__
from rediq_trio.spec.lifecycle import State
from rediq_trio.web.site.page import Act, Page, Shown, Visit
from rediq_trio.web.site.words import HEALTH, KEYS, STATE_MEANINGS, TERMS


async def show(visit: Visit) -> Shown:
    """Show which keys there are, and what the states mean."""
    return Shown(
        template="help.html",
        title="Help",
        nav="/help",
        values={
            "keys": KEYS,
            "states": [(state.value, STATE_MEANINGS[state.value]) for state in State],
            "health": HEALTH,
            "terms": TERMS,
            "versions": await _versions(visit),
        },
    )


async def _versions(visit: Visit) -> list[tuple[str, str]]:
    """Return which versions are in use, as far as the view that all share says."""
    view = await visit.fleet()
    found = sorted({worker.version for worker in view.workers})
    return [
        ("this page", f"rediq-trio {__version__}, Python {platform.python_version()}"),
        ("workers", ", ".join(f"rediq-trio {each}" for each in found) or "none"),
    ]


async def show_account(visit: Visit) -> Shown:
    """Show who looks, with which right, and the ways out."""
    return Shown(template="account.html", title="You")


PAGES: tuple[Page, ...] = (Page("/help", show), Page("/account", show_account))
ACTS: tuple[Act, ...] = ()
