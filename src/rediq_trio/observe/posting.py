"""Sends alerts on as JSON, once per change: when one is raised, and when it is over.

One request carries all changes that are not delivered yet, the oldest first, and is repeated after
longer and longer pauses until the receiver accepts it. Looking never waits for it.
"""

from __future__ import annotations

import datetime as dt
import enum
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import attrs
import trio

from rediq_trio import __version__
from rediq_trio._errors import ConfigError, RediqError
from rediq_trio.observe.alerts import Alert, alerts_of
from rediq_trio.observe.as_json import to_json
from rediq_trio.observe.views import FleetView

CHANGES_MAX = 1000
"""Changes that are kept for a receiver that does not answer; then the oldest are given up."""
ANSWER_WITHIN = 10.0
"""Seconds that a receiver may take to answer."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the first repetition, and at most; each pause is twice the one before."""


class NotPosted(RediqError):
    """The receiver of alerts did not accept them."""


class ChangeKind(enum.StrEnum):
    """What became of an alert."""

    RAISED = "raised"
    OVER = "over"


@attrs.frozen
class AlertChange:
    """An alert that was raised, or is over."""

    change: ChangeKind
    at: dt.datetime
    """When the view was read in which it was seen."""
    alert: Alert
    """As it was raised: its numbers may be others since."""


def check_post_url(url: str) -> str:
    """Return a URL that alerts can be sent to; raise `ConfigError` for another."""
    bound = "a URL like https://host/path"
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"--post must be {bound}")  # not shown: it may be a secret
    return url


@attrs.define(eq=False)
class AlertPoster:
    """Compares each view with what was raised before, and sends the changes on."""

    url: str = attrs.field(repr=False)
    report: Callable[[str], object]
    """Is called with a line when the receiver does not answer, and when it does again."""
    _raised: dict[tuple[str, str], Alert] = attrs.field(factory=dict[tuple[str, str], Alert])
    _changes: deque[AlertChange] = attrs.field(factory=deque[AlertChange])
    _given_up: int = 0
    _sent: int = 0
    """Changes taken off the front so far, delivered or given up."""
    _wanted: trio.Event = attrs.field(factory=trio.Event)

    def see(self, view: FleetView) -> tuple[AlertChange, ...]:
        """Take note of a view; return what has changed, which `run` then sends.

        An alert is not over while nothing can be said about it: Redis is away, its queue cannot be
        read, or its rule has nothing to judge by.
        """
        now = {(alert.rule, alert.subject): alert for alert in alerts_of(view)}
        raised = [alert for key, alert in now.items() if key not in self._raised]
        over = [
            alert for key, alert in self._raised.items()
            if key not in now and not _is_unknown(view, alert)
        ]  # fmt: skip
        changes = (
            *(AlertChange(ChangeKind.RAISED, view.at, alert) for alert in raised),
            *(AlertChange(ChangeKind.OVER, view.at, alert) for alert in over),
        )
        for alert in raised:
            self._raised[alert.rule, alert.subject] = alert
        for alert in over:
            del self._raised[alert.rule, alert.subject]
        self._changes.extend(changes)
        while len(self._changes) > CHANGES_MAX:
            self._changes.popleft()
            self._given_up += 1
            self._sent += 1
        if self._changes:
            self._wanted.set()
        return changes

    async def run(self) -> None:
        """Send changes as they come, until cancelled; what is not delivered then is lost."""
        while True:
            await self._wanted.wait()
            await self.deliver()

    async def deliver(self, tries: int | None = None) -> None:
        """Send what is not delivered, until it is; raise `NotPosted` after that many tries."""
        pause, failed = FIRST_PAUSE, 0
        while self._changes:
            begun, some = self._sent, tuple(self._changes)
            try:
                await post(self.url, some)
            except NotPosted as error:
                failed += 1
                if tries is not None and failed >= tries:
                    raise
                if failed == 1 and tries is None:
                    self.report(f"{error}; it is repeated until it is accepted")
                await trio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            for _ in range(len(some) - (self._sent - begun)):
                self._changes.popleft()
            self._sent = begun + len(some)
            if failed and tries is None:
                lost = f"; {self._given_up} changes were given up" if self._given_up else ""
                self.report(f"alerts are delivered again{lost}")
                pause, failed, self._given_up = FIRST_PAUSE, 0, 0
        self._wanted = trio.Event()


def _is_unknown(view: FleetView, alert: Alert) -> bool:
    return view.away is not None or alert.rule in view.unknown or alert.subject in view.unread


async def post(url: str, changes: Sequence[AlertChange]) -> None:
    """Send changes in one request; raise `NotPosted` unless the answer is 2xx.

    When cancelled, the receiver may have them.
    """
    body = to_json({"changes": changes}).encode()
    await trio.to_thread.run_sync(_post, url, body, abandon_on_cancel=True)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would become a GET without the alerts."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def _post(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": f"rediq-trio/{__version__}"}
    request = urllib.request.Request(url, body, headers, method="POST")
    host = urlsplit(url).hostname
    try:
        with _OPENER.open(request, timeout=ANSWER_WITHIN):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise NotPosted(f"alerts were not accepted by {host}: it answered {error.code}") from None
    except (OSError, ValueError, urllib.error.URLError) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        raise NotPosted(f"alerts could not be sent to {host}: {why}") from None
    except Exception as error:  # http.client's own
        raise NotPosted(f"alerts could not be sent to {host}: {type(error).__name__}") from None
