"""What an act did, shown on the next page: kept in a cookie over the redirect, with the way back.

The cookie is signed with a key that the process makes: what another site, or another port of the same
host, sets in its place is not shown.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import Any

import attrs

from rediq_trio.web.site.page import Done, Undo

COOKIE = "rediq_toast"
TOAST_LASTS = 60
"""Seconds for which it is shown on the next page."""
_MOST = 3000
"""Bytes of a cookie that any browser keeps."""


@attrs.frozen
class Toast:
    """One sentence in the past tense, and the way back."""

    said: str
    undo: Undo | None = None
    failed: bool = False


class ToastSigner:
    """Writes toasts as cookies and reads them."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def written(self, done: Done) -> str:
        """Return the cookie for what an act did."""
        facts: dict[str, Any] = {"said": done.said[:1000], "failed": done.failed}
        if done.undo is not None:
            facts["undo"] = {**attrs.asdict(done.undo), "form": dict(done.undo.form)}
        body = base64.urlsafe_b64encode(json.dumps(facts).encode())
        if len(body) > _MOST:
            facts.pop("undo", None)
            facts["said"] = done.said[:300]
            body = base64.urlsafe_b64encode(json.dumps(facts).encode())
        return f"{body.decode()}.{self._signature(body)}"

    def read(self, cookie: str) -> Toast | None:
        """Return what a cookie says; None if it was not written here."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body.encode()).encode()):
            return None
        facts = json.loads(base64.urlsafe_b64decode(body))
        undo = Undo(**facts["undo"]) if "undo" in facts else None
        return Toast(facts["said"], undo, facts["failed"])

    def _signature(self, body: bytes) -> str:
        return hmac.new(self._key, body, hashlib.sha256).hexdigest()
