"""Sessions of those who logged in: kept in this process, so that one can be ended at once.

A browser has a random id and nothing else. What is kept is the hash of it. A restart of the page ends all.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

import attrs
import trio

SESSION_LASTS = 12 * 3600.0
"""Seconds for which a session lasts at most."""
IDLE = 2 * 3600.0
"""Seconds without a request after which it ends."""
SESSIONS_MAX = 10_000
"""Sessions that are kept: the one that was used longest ago ends for a new one."""


@attrs.define
class LoginSession:
    """One login in one browser."""

    user: str
    hash: str = attrs.field(repr=False)
    """What the file had for the user: a new password ends the session."""
    begun: float
    used: float


class Sessions:
    """Every session, by the hash of its id."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, LoginSession] = OrderedDict()

    def begin(self, user: str, hash: str) -> str:
        """Return the id of a new session."""
        ident, now = secrets.token_urlsafe(32), trio.current_time()
        self._sessions[_key(ident)] = LoginSession(user, hash, now, now)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return ident

    def find(self, ident: str) -> LoginSession | None:
        """Return the session of an id, which counts as used; None if it has ended or never was."""
        key, now = _key(ident), trio.current_time()
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.begun >= SESSION_LASTS or now - session.used >= IDLE:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        return session

    def end(self, ident: str) -> None:
        """End a session."""
        self._sessions.pop(_key(ident), None)

    def end_all(self, user: str) -> int:
        """End all sessions of a user; return how many there were."""
        theirs = [key for key, session in self._sessions.items() if session.user == user]
        for key in theirs:
            del self._sessions[key]
        return len(theirs)


def _key(ident: str) -> bytes:
    return hashlib.sha256(ident.encode("utf-8", "replace")).digest()
