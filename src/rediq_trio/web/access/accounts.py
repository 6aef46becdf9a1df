"""Logging in and out."""

from __future__ import annotations

import math

import attrs
import trio
from starlette.requests import Request

from rediq_trio._errors import RediqError
from rediq_trio.observe.words import counted, duration
from rediq_trio.store.audit.audited import auditing
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.page import Refused, Visit

AUDITED_MAX = 60
"""Failed logins that are written in the audit in an hour: more would push out what people did."""


class WrongLogin(RediqError):
    """The user or the password is wrong: which, it does not say."""


@attrs.define(eq=False)
class Accounts:
    """The log-ins and log-outs of one site; where they fail, they are slowed."""

    access: Access
    _audited: list[float] = attrs.field(factory=list[float])
    """When the last failures were written."""

    async def log_in(self, request: Request, visit: Visit) -> str:
        """Return the id of a new session; raise `Refused` where it fails, or is tried too often."""
        user, password = visit.form.get("user", "").strip()[:128], visit.form.get("password", "")
        address = request.client.host if request.client is not None else ""
        keys = f"address {address}", f"user {user}"
        slowing = self.access.slowing
        if wait := slowing.wait(*keys):
            raise Refused(
                f"too many logins have failed: the next is looked at in {duration(math.ceil(wait))}",
                "Wait, then try again.", 429,
            )  # fmt: skip
        # Counted before it is known, so that many at once do not get past it.
        slowing.failed(*keys)
        session = await self.access.log_in(user, password)
        if session is None:
            await self._write_failure(visit, user, address)
            raise Refused("the user or the password is wrong", "Try again.", 403)
        slowing.succeeded(*keys)
        return session

    async def _write_failure(self, visit: Visit, user: str, address: str) -> None:
        now = trio.current_time()
        self._audited = [at for at in self._audited if now - at < 3600]
        if len(self._audited) >= AUDITED_MAX:
            return
        self._audited.append(now)
        client = visit.shared.client.acting(who="(nobody)", tool="web", where=address[:200])
        try:
            async with auditing(client._store, "login", {"user": user[:64]}):
                raise WrongLogin("wrong user or password")
        except RediqError:
            pass

    def log_out(self, visit: Visit, *, everywhere: bool) -> str:
        """End the session of a visitor, or all of theirs; return what was done."""
        if not everywhere:
            self.access.sessions.end(visit.visitor.session)
            return "Logged out."
        ended = self.access.sessions.end_all(visit.visitor.name)
        return f"Logged out of {counted(ended, 'session')}."
