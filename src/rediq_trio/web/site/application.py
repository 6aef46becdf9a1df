"""The web page as an ASGI application, for any server or host on Trio.

`Site` finds the page or act of a request, decides whether its visitor may have it, and answers in HTML.
What goes wrong is a page, too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import attrs
import sniffio
import trio
from starlette.requests import Request
from starlette.responses import (
    PlainTextResponse,
    RedirectResponse,
    Response,
)

from rediq_trio._errors import ConfigError
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.client import Client, connect
from rediq_trio.store.audit.acting import WHERE_MAX
from rediq_trio.store.urls import default_url, redacted, server_of
from rediq_trio.values.hiding import Hide, Hiding
from rediq_trio.web.access.accounts import Accounts
from rediq_trio.web.access.csrf import check_origin
from rediq_trio.web.access.deciding import SESSION_COOKIE, Access
from rediq_trio.web.access.sessions import SESSION_LASTS
from rediq_trio.web.site.all_pages import ACTS, PAGES
from rediq_trio.web.site.answers import PART, Answers, static_answer, waiting_answer
from rediq_trio.web.site.fleet import Fleet, watching
from rediq_trio.web.site.frame import COLORS, Frame
from rediq_trio.web.site.headers import with_headers
from rediq_trio.web.site.live import LiveStreams
from rediq_trio.web.site.page import (
    NOBODY,
    Done,
    Refused,
    Right,
    Shared,
    Shown,
    Visit,
    check_right,
)
from rediq_trio.web.site.requests import read_form
from rediq_trio.web.site.routes import PathEntry, RouteTable, path_within
from rediq_trio.web.site.settings import Chosen, chosen_settings, set_cookie
from rediq_trio.web.site.templating import page_version
from rediq_trio.web.site.trouble import NO_PAGE, trouble_of

Message = MutableMapping[str, Any]
AsgiReceive = Callable[[], Awaitable[Message]]
AsgiSend = Callable[[Message], Awaitable[None]]

PAGE_PATIENCE = 1.0
"""Seconds for which a call that was lost is repeated: a page rather says that Redis is away."""
TRIO_ONLY = (
    "rediq's web page needs a host on Trio, and this one is on {}: serve the app with Hypercorn on Trio "
    "(hypercorn --worker-class trio ...), or run the page beside it: rediq web"
)
LIVE, LOGIN, LOGOUT, SETTINGS = "/live", "/login", "/logout", "/settings"
"""The paths of what belongs to the frame."""
NOT_OPEN = (
    "rediq's web page is not open: mount it within 'async with asgi(...) as page:', or serve it with its "
    "lifespan"
)


@attrs.define(eq=False)
class _Opened:
    """What a site has while it is open."""

    shared: Shared
    fleet: Fleet
    answers: Answers
    streams: LiveStreams


class Site:
    """The web page as an ASGI application.

    It is open within `async with site:`, within `async with site.open():`, or for the lifespan of a
    server.
    """

    def __init__(
        self,
        source: str | Client | None = None,
        *,
        name: str = "",
        color: str = "a",
        key_prefix: str = "rediq",
        access: Access | None = None,
        hide: Hide | str | Sequence[str] = "",
        trace_url: str = "",
        base_path: str = "",
    ) -> None:
        if color not in COLORS:
            raise ConfigError.of("color", color, "one of " + ", ".join(COLORS))
        self._source = source
        self._key_prefix = key_prefix
        self._name = name
        self._color = color
        self._access = Access(open_to=Right.LOOK, local_only=True) if access is None else access
        self._accounts = Accounts(self._access)
        self._hide: Hide = hide if callable(hide) else Hiding.of(hide)
        self._trace_url = trace_url
        self._base_path = checked_base(base_path)
        self._routes = RouteTable(PAGES, ACTS)
        self.waits = False
        """Whether requests get a page that says so while Redis is not reached yet."""
        self._opened: _Opened | None = None
        self._entered: AbstractAsyncContextManager[Self] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Self]:
        """Connect, and answer requests while the block lasts.

        Raises `ConfigError` for a bad URL, and `ConnectionLost` if the server cannot be reached.
        """
        if self._opened is not None:
            raise ConfigError("the web page is open already: open it once, and mount that")
        async with (
            unwrapped_errors() as captured,
            self._client() as client,
            watching(client) as fleet,
            trio.open_nursery() as nursery,
        ):
            shared = Shared(client, nursery, fleet.view, self._hide, self._trace_url)
            shared.url, shared.key_prefix = self._url(), self._key_prefix
            frame = self._frame(getattr(client._store, "product", ""))
            streams = LiveStreams(fleet, page_version())
            self._opened = _Opened(shared, fleet, Answers(frame, fleet), streams)
            try:
                with captured:
                    yield self
            finally:
                streams.end()
                self._opened = None
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _client(self) -> AsyncGenerator[Client]:
        if self._source is not None and not isinstance(self._source, str):
            yield self._source
            return
        source = connect(self._source, key_prefix=self._key_prefix, patience=PAGE_PATIENCE)
        async with source as client:
            yield client

    def _frame(self, product: str = "") -> Frame:
        return Frame(self._name or "rediq", self._color, self._where(product or "Redis"))

    def _url(self) -> str:
        """Return the server as a command takes it, without user and password."""
        if self._source is not None and not isinstance(self._source, str):
            return ""
        return str(redacted(self._source or default_url()))

    def _where(self, product: str) -> str:
        if self._source is not None and not isinstance(self._source, str):
            return ""
        server = server_of(self._source or default_url())
        if server is None:
            return (self._source or "").partition("://")[0]
        host, port = server
        return f"{product} on {host}" + (f":{port}" if port is not None else "")

    async def __aenter__(self) -> Self:
        self._entered = self.open()
        return await self._entered.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        assert self._entered is not None
        entered, self._entered = self._entered, None
        return await entered.__aexit__(kind, error, traceback)

    async def __call__(self, scope: Message, receive: AsgiReceive, send: AsgiSend) -> None:
        """PageAnswer one request, or stay open for a lifespan."""
        library = sniffio.current_async_library()
        wrong_host = TRIO_ONLY.format(library) if library != "trio" else ""
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send, wrong_host)
            case "http":
                if wrong_host or self._opened is None:
                    response = self._not_open(Request(scope, receive), wrong_host)
                else:
                    response = await self._answer(Request(scope, receive), self._opened)
                await with_headers(response)(scope, receive, send)
            case _:
                await send({"type": "websocket.close"})

    def _not_open(self, request: Request, wrong_host: str) -> Response:
        if wrong_host or not self.waits:
            return PlainTextResponse((wrong_host or NOT_OPEN) + "\n", 503)
        base = request.scope.get("root_path", "").rstrip("/") or self._base_path
        path = path_within(request.scope["path"], base)
        if path.startswith("/static/"):
            return static_answer(path.removeprefix("/static/"))
        return waiting_answer(self._frame(), request, base)

    async def _live(self, receive: AsgiReceive, send: AsgiSend, wrong_host: str) -> None:
        await receive()
        if wrong_host:
            await send({"type": "lifespan.startup.failed", "message": wrong_host})
            return
        if self._opened is not None or self.waits:  # within `async with`, too
            await send({"type": "lifespan.startup.complete"})
            await receive()
        else:
            try:
                async with self.open():
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, request: Request, opened: _Opened) -> Response:
        base = request.scope.get("root_path", "").rstrip("/") or self._base_path
        path = path_within(request.scope["path"], base)
        if path.startswith("/static/"):
            return static_answer(path.removeprefix("/static/"))
        visit = Visit(
            client=opened.shared.client,
            visitor=NOBODY,
            shared=opened.shared,
            path=path,
            query=request.query_params,
            base=base,
            origin=f"{request.url.scheme}://{request.url.netloc}",
            zone=Chosen.of(request.cookies).zone,
        )
        try:
            visitor = await self._access.visitor(request)
            if visitor is not None:
                where = request.client.host if request.client is not None else ""
                client = opened.shared.client.acting(
                    who=visitor.name, tool="web", where=where[:WHERE_MAX]
                )
                visit = attrs.evolve(visit, visitor=visitor, client=client)
            return await self._respond(request, visit, opened)
        except Exception as error:
            return await opened.answers.trouble(request, visit, trouble_of(error))

    async def _respond(self, request: Request, visit: Visit, opened: _Opened) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(f"{request.method} is not answered here", "Use GET or POST.", 405)
        posted = request.method == "POST"
        if posted:
            check_origin(request.headers)
            visit = attrs.evolve(visit, form=await read_form(request))
        if visit.path == LOGIN:
            return await self._log_in(request, visit, opened)
        if posted and visit.path == SETTINGS:
            return chosen_settings(visit)
        if not visit.visitor.may(Right.LOOK):
            if posted or PART in request.headers or not self._access.has_login:
                raise Refused("you are not logged in, or may not look at this page", "Log in.", 403)
            return RedirectResponse(visit.link(LOGIN, back=visit.here()), 303)
        if visit.path == LIVE and not posted:
            return opened.streams.answer(partial(self._may_look, request))
        if posted and visit.path == LOGOUT:
            said = self._accounts.log_out(visit, everywhere=visit.form.get("where") == "everywhere")
            return opened.answers.moved(visit, Done(said=said, to=visit.link("/")))
        found = self._routes.find(visit.path)
        if found is None:
            return await opened.answers.trouble(request, visit, NO_PAGE)
        route, params = found
        visit = attrs.evolve(visit, params=params)
        if posted:
            return await self._act(request, visit, opened, route)
        show = route.page.show if route.page else route.act.ask if route.act else None
        need = route.page.need if route.page else route.act.need if route.act else None
        if show is None or need is None:
            raise Refused("this address only takes forms", "Go back, and use the button.", 405)
        check_right(visit, need)
        return await opened.answers.draw(request, visit, await show(visit))

    async def _may_look(self, request: Request) -> bool:
        visitor = await self._access.visitor(request)
        return visitor is not None and visitor.may(Right.LOOK)

    def end_streams(self) -> None:
        """End every stream of ticks, so that a server that shuts down need not wait for them."""
        if self._opened is not None:
            self._opened.streams.end()

    async def _log_in(self, request: Request, visit: Visit, opened: _Opened) -> Response:
        """PageAnswer the form of the login, or show it."""
        failed: Refused | None = None
        if request.method == "POST":
            try:
                session = await self._accounts.log_in(request, visit)
            except Refused as error:
                failed = error
            else:
                response = RedirectResponse(visit.back("/"), 303)
                set_cookie(response, visit, SESSION_COOKIE, session, int(SESSION_LASTS))
                return response
        values = {
            "failed": str(failed) if failed else "",
            "back": visit.back("/"),
            "user": visit.form.get("user", "")[:128],
            "users": self._access.logins is not None,
            "possible": self._access.has_login,
        }
        status = 200 if failed is None else failed.status
        shown = Shown(template="login.html", title="Log in", values=values, status=status)
        return await opened.answers.draw(request, visit, shown)

    async def _act(self, request: Request, visit: Visit, opened: _Opened, route: PathEntry) -> Response:
        if route.act is None:
            raise Refused("this page takes no forms", "Go back.", 405)
        check_right(visit, route.act.need)
        try:
            done = await route.act.do(visit)
        finally:
            opened.fleet.changed()
        if not isinstance(done, Done):
            return await opened.answers.draw(request, visit, done)
        return opened.answers.moved(visit, done)


def checked_base(base_path: str) -> str:
    """Return a base path without a slash at its end; raise `ConfigError` for what cannot be one."""
    base = base_path.rstrip("/")
    if base and (not base.startswith("/") or "//" in base or any(c in base for c in "?#\\ ")):
        raise ConfigError.of("base_path", base_path, 'a path like "/ops/rediq"')
    return base
