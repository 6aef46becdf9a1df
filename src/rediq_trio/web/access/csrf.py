"""Forms come from this site only.

A browser says in `Sec-Fetch-Site` where a request comes from, over HTTPS and to this machine. Over plain HTTP
to another it says nothing, and `Origin` is compared with the address that was asked. A request with neither is
refused, unless it carries a token: no browser adds one by itself.

This is why the policy for referrers is `same-origin`, which tells other sites as little as `no-referrer`:
with the latter browsers send `Origin: null`, also to the site itself.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from rediq_trio.web.site.page import Refused

NEXT_STEP = "Open the page that the form belongs to, and send it from there."


def check_origin(headers: Headers) -> None:
    """Raise `Refused` unless a request that changes something comes from a page of this site."""
    if headers.get("authorization", "").lower().startswith("bearer "):
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site == "same-origin":
            return
        raise Refused(
            f"the form was sent from another site (Sec-Fetch-Site: {site})", NEXT_STEP, 403
        )
    origin = headers.get("origin")
    if origin is None:
        raise Refused(
            "the request does not say which site it comes from (no Origin)", NEXT_STEP, 403
        )
    found = urlsplit(origin)
    if (
        found.scheme not in ("http", "https")
        or found.netloc.lower() != headers.get("host", "").lower()
    ):
        raise Refused(
            f"the form was sent from another site (Origin: {origin[:100]})", NEXT_STEP, 403
        )
