"""Answers in HTTP: pages, downloads, redirects and files."""

from __future__ import annotations

from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from rediq_trio.web.site import toast as toasts
from rediq_trio.web.site.fleet import Fleet
from rediq_trio.web.site.frame import Frame
from rediq_trio.web.site.page import NOBODY, Done, Download, Moved, PageAnswer, Right, Shown, Visit
from rediq_trio.web.site.settings import Chosen, set_cookie
from rediq_trio.web.site.templating import STATIC, static_file
from rediq_trio.web.site.trouble import NOT_REACHED, Trouble

PART = "x-rediq-part"
"""The header with which the script asks for what changes of a page."""
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
"""What the links to files have in them changes with their content."""
MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Answers:
    """Makes the answers of one site that is open."""

    def __init__(self, frame: Frame, fleet: Fleet) -> None:
        self._frame = frame
        self._fleet = fleet
        self._signer = toasts.ToastSigner()

    async def draw(self, request: Request, visit: Visit, answer: PageAnswer) -> Response:
        """Return a page, a download or a redirect."""
        match answer:
            case Moved():
                return RedirectResponse(answer.to, 303)
            case Download():
                return _download(answer)
            case Shown():
                pass
        part = PART in request.headers
        cookie = request.cookies.get(toasts.COOKIE)
        html = self._frame.draw(
            visit,
            await self._fleet.view() if visit.may(Right.LOOK) else None,
            answer.template,
            {"title": answer.title, "nav": answer.nav, **answer.values},
            chosen=Chosen.of(request.cookies),
            away_since=self._fleet.away_since,
            part=part,
            toast=self._signer.read(cookie) if cookie and not part else None,
        )
        response = HTMLResponse(html, answer.status)
        if cookie and not part:
            response.delete_cookie(toasts.COOKIE, path=visit.base or "/")
        return response

    async def trouble(self, request: Request, visit: Visit, trouble: Trouble) -> Response:
        """Return the page about something that went wrong."""
        has_back = visit.form.get("back") or visit.query.get("back")
        values = {**attrs.asdict(trouble), "back": visit.back("/") if has_back else ""}
        del values["status"]
        shown = Shown(
            template="gone.html", title=trouble.title, values=values, status=trouble.status
        )
        return await self.draw(request, visit, shown)

    def moved(self, visit: Visit, done: Done) -> Response:
        """Return the redirect after an act; the page that it leads to says what was done."""
        response = RedirectResponse(done.to, 303)
        set_cookie(response, visit, toasts.COOKIE, self._signer.written(done), toasts.TOAST_LASTS)
        return response


def waiting_answer(frame: Frame, request: Request, base: str) -> Response:
    """Return the page for the time until Redis is reached: it asks again every 3 s, without a script."""
    nothing: Any = None  # nothing of it is read before Redis is
    visit = Visit(client=nothing, visitor=NOBODY, shared=nothing, path="/", base=base)
    values = {**attrs.asdict(NOT_REACHED), "title": NOT_REACHED.title, "nav": "", "back": ""}
    html = frame.draw(visit, None, "gone.html", values, chosen=Chosen.of(request.cookies))
    headers = {"Retry-After": "3"}
    if request.method == "GET":
        headers["Refresh"] = "3"
    return HTMLResponse(html, NOT_REACHED.status, headers)


def static_answer(name: str) -> Response:
    """Return a file that pages load."""
    if name not in STATIC:
        return PlainTextResponse("no such file\n", 404)
    headers = {"Cache-Control": KEPT_FOR_EVER}
    return Response(static_file(name), 200, headers, MEDIA_TYPES[name.rpartition(".")[2]])


def _download(file: Download) -> Response:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in file.name)
    how = "inline" if file.inline else "attachment"
    headers = {"Content-Disposition": f'{how}; filename="{kept[:150]}"'}
    if isinstance(file.body, bytes):
        return Response(file.body, 200, headers, file.media_type)
    return StreamingResponse(file.body, 200, headers, file.media_type)
