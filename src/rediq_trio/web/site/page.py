"""Pages and acts, apart from HTTP: functions from a visit to what is shown or done.

A page is a GET without side effects; what it looks at is in its URL. An act is a POST, which answers with
a redirect: sent twice, it finds what the first left. An act that asks has a page of its own for that, so
that it works without a script.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import trio
from starlette.datastructures import ImmutableMultiDict

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.observe.alerts import Alert, alerts_of
from rediq_trio.observe.views import FleetView
from rediq_trio.values.chance import utc_now
from rediq_trio.values.hiding import Hide, Hiding

Fields = ImmutableMultiDict[str, str]
"""The fields of a query or of a form: `get` returns the last of a name, `getlist` all."""
NO_FIELDS: Fields = ImmutableMultiDict()


class Right(enum.IntEnum):
    """What a visitor may do; each includes those below it."""

    NONE = 0
    """Nothing, not even look."""
    LOOK = 1
    """Look at everything that is not hidden."""
    ACT = 2
    """Retry, cancel, pause and resume, too."""
    CHANGE = 3
    """Delete, flush, edit, limit, schedule and stop, too."""

    @property
    def word(self) -> str:
        """The name in files and on pages."""
        return self.name.lower()


@attrs.frozen
class Visitor:
    """Who looks."""

    name: str
    """1 to 128 characters: what is written in the audit."""
    right: Right = Right.LOOK
    session: str = ""
    """The session of a login; "" for a visitor without one."""

    def may(self, right: Right) -> bool:
        """Return whether the visitor has a right."""
        return self.right >= right


NOBODY = Visitor("(nobody)", Right.NONE)
"""Whoever is not known."""


class NotFound(RediqError, LookupError):
    """A queue, kind, worker or page that is not there: a page that says when and why."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.next_step = next_step


class Refused(RediqError):
    """An act that is not done, for a reason that the visitor can do something about.

    `status` is that of the answer: 400, unless another fits better.
    """

    def __init__(self, why: str, next_step: str = "", status: int = 400) -> None:
        super().__init__(why)
        self.next_step = next_step
        self.status = status


@attrs.define(eq=False)
class Shared:
    """What all visits of a site share."""

    client: Client
    """Acts for nobody: for reading only."""
    nursery: trio.Nursery
    """Ends with the site: for work that goes on when its page is closed."""
    view: Callable[[], Awaitable[FleetView]]
    """Returns the newest view of the fleet."""
    hide: Hide = attrs.field(factory=Hiding)
    trace_url: str = ""
    """A link to a trace, with `{trace_id}` in it; "" for none."""
    works: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """Work that is under way, by its id."""
    url: str = ""
    """The server, without user and password; "" if the host brings its own client."""
    key_prefix: str = "rediq"
    kept: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """What pages keep from one visit to the next, by a name: see `keeping`."""
    owned: dict[str, Any] = attrs.field(factory=dict[str, Any])
    """What pages own for as long as the site is open, by a name."""


@attrs.frozen(kw_only=True)
class Visit:
    """One request: who looks, at what, and how the page is wanted."""

    client: Client
    """Acts for the visitor: each change has an entry in the audit."""
    visitor: Visitor
    shared: Shared = attrs.field(repr=False)
    path: str
    """The path within the site, "/queues/emails" for example."""
    params: Mapping[str, str] = MappingProxyType({})
    """What the pattern of the path names, `{"queue": "emails"}` for example."""
    query: Fields = NO_FIELDS
    form: Fields = NO_FIELDS
    """The fields of a POST."""
    base: str = ""
    """Where the site is mounted: "" or "/ops"."""
    origin: str = ""
    """"https://ops.example.com", as the browser sees the site."""
    zone: dt.tzinfo = dt.UTC
    now: dt.datetime = attrs.field(factory=utc_now)

    def link(self, path: str, **query: object) -> str:
        """Return a URL of this site for a path that begins with "/"; values that are None or "" are left out."""
        given = [(key, str(each)) for key, each in query.items() if each not in (None, "")]
        return (
            self.base + quote(path, "/:@!$&'()*+,;=~") + (f"?{urlencode(given)}" if given else "")
        )

    def here(self, **changes: object) -> str:
        """Return the URL of this page with some fields of its query replaced; None or "" removes one."""
        kept = [(key, each) for key, each in self.query.multi_items() if key not in changes]
        kept += [(key, str(each)) for key, each in changes.items() if each not in (None, "")]
        return self.link(self.path) + (f"?{urlencode(kept)}" if kept else "")

    def may(self, right: Right) -> bool:
        """Return whether the visitor has a right."""
        return self.visitor.may(right)

    async def fleet(self) -> FleetView:
        """Return the newest view of all queues and workers, which all visits share: no call of its own."""
        return await self.shared.view()

    async def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts of the newest view, the most severe first."""
        return alerts_of(await self.fleet())

    def hide(self, value: object, field: str) -> object:
        """Return what may be shown of a value; `field` is "payload", "result", "error" or "metadata"."""
        return self.shared.hide(value, field)

    def back(self, otherwise: str) -> str:
        """Return where to go after an act: the field `back` of the form or query, within this site.

        `otherwise` is a path of this site. It is taken if the field is missing, or leads elsewhere.
        """
        wanted = self.form.get("back") or self.query.get("back") or ""
        inside = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
        if (
            inside
            and wanted.startswith(self.base + "/")
            and "\n" not in wanted
            and "\r" not in wanted
        ):
            return wanted
        return self.link(otherwise)


@attrs.frozen(kw_only=True)
class Shown:
    """A page: a template and what it shows."""

    template: str
    title: str
    nav: str = ""
    """The path of the page in the navigation that this one belongs to."""
    values: Mapping[str, Any] = MappingProxyType({})
    status: int = 200


@attrs.frozen(kw_only=True)
class Download:
    """A file to save: bytes, or an iterator of them."""

    name: str
    body: bytes | AsyncIterator[bytes]
    media_type: str = "application/octet-stream"
    inline: bool = False
    """Whether the browser may show it in place of saving it; text and JSON only."""


@attrs.frozen(kw_only=True)
class Moved:
    """Another URL of this site to look at, made by `link`."""

    to: str


@attrs.frozen(kw_only=True)
class Undo:
    """The way back: an act that undoes another."""

    path: str
    """The path of the act within the site."""
    word: str
    """What its button says: "Revive", "Resume"."""
    form: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Done:
    """What an act did: the sentence is shown on the page that it leads to."""

    said: str
    """One sentence in the past tense, plain text: "Paused emails."."""
    to: str
    """Where to go: a URL made by `Visit.link` or `Visit.back`."""
    undo: Undo | None = None
    failed: bool = False
    """Whether it is about something that was not done."""


def check_right(visit: Visit, need: Right) -> None:
    """Raise `Refused` for a visitor who may not have a page or do an act."""
    if not visit.may(need):
        have = visit.visitor.right.word
        raise Refused(
            f"this needs the right to {need.word}, and {visit.visitor.name} has the right to {have}",
            "Ask whoever runs this page for it: rediq web --write, or the role in the login file.",
            403,
        )


PageAnswer = Shown | Download | Moved


@attrs.frozen
class Page:
    """A page at a path like "/queues/{queue}" or "/tasks/{id:path}"."""

    path: str
    show: Callable[[Visit], Awaitable[PageAnswer]]
    need: Right = Right.LOOK


@attrs.frozen
class Act:
    """What a POST to a path does. `ask`, if there is one, is the page of a GET to the same path."""

    path: str
    do: Callable[[Visit], Awaitable[Done | PageAnswer]]
    ask: Callable[[Visit], Awaitable[PageAnswer]] | None = None
    need: Right = Right.ACT
