"""The web page; and health probes and metrics of a worker, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rediq_trio._errors import ConfigError

# What an app mounts is imported when it is: the health server needs neither templates nor pages.
if TYPE_CHECKING:
    from rediq_trio.client import Client
    from rediq_trio.values.hiding import Hide
    from rediq_trio.web.access.deciding import Authorize
    from rediq_trio.web.site.application import Site

__all__ = ["asgi"]

_OF_THE_EXTRA = frozenset({"hypercorn", "jinja2", "markupsafe", "starlette"})


def asgi(
    source: str | Client | None = None,
    *,
    name: str = "",
    color: str = "a",
    key_prefix: str = "rediq",
    write: bool = False,
    login: str | None = None,
    token: str = "",
    trust_header: str = "",
    trust_proxy: Sequence[str] = (),
    authorize: Authorize | None = None,
    hide: Hide | str | Sequence[str] = "",
    trace_url: str = "",
    base_path: str = "",
) -> Site:
    """Return the web page as an ASGI app, to mount in another one on Trio, or to serve by itself.

    It is open within `async with asgi(...) as page:`, or for the lifespan of its server; when that
    is cancelled, streams and work under way end. An app on asyncio cannot host it: each request then
    says so. `source` is a URL, by default `REDIQ_URL`, or a client, which stays open.

    `name` of the environment and `color`, "a", "b" or "c", are at the top of each page. Who may do
    what: see the page *Web* of the documentation for `write`, `login` (a file), `token`,
    `trust_header` with `trust_proxy` (addresses), and `authorize`, which gets each request and
    returns a `Right`, a `Visitor`, or None for nobody. Without any of them only browsers on this
    machine may look, and with `write` change. `hide` is paths like "payload.card", or a function of
    a value and its field. `trace_url` has `{trace_id}` in it. `base_path` is where a proxy has it,
    if the proxy does not say so (`root_path`).

    Raises `ConfigError` for a bad option, and without the extra `web`.
    """
    try:
        from rediq_trio.web.site.opening import open_site
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise ConfigError(
            "the web page needs the extra `web`: pip install 'rediq-trio[web]'"
        ) from error
    return open_site(
        source,
        name=name,
        color=color,
        key_prefix=key_prefix,
        write=write,
        login=login,
        token=token,
        trust_header=trust_header,
        trust_proxy=trust_proxy,
        authorize=authorize,
        hide=hide,
        trace_url=trace_url,
        base_path=base_path,
    )
