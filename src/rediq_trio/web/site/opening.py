"""Makes a site of what an operator or a host says about who may do what."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.client import Client
from rediq_trio.values.hiding import Hide
from rediq_trio.web.access.deciding import Access, Authorize
from rediq_trio.web.access.login_file import LoginFile
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right

TRACE_ID = "{trace_id}"
OPEN_AGAIN = 1.0
"""Seconds between two tries to reach Redis."""
log = logging.getLogger("rediq_trio")


@asynccontextmanager
async def opened_patiently(site: Site) -> AsyncGenerator[bool]:
    """Open a site for the block, also while Redis cannot be reached; yield whether it was at once.

    Until it can, each request gets a page that says so. Raises `ConfigError` and `AccessRefused`, then
    too, for what waiting does not change, such as a wrong password.
    """
    async with unwrapped_errors() as captured, trio.open_nursery() as nursery:
        at_once: bool = await nursery.start(_keep_open, site)
        with captured:
            yield at_once
        nursery.cancel_scope.cancel()


async def _keep_open(
    site: Site, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
) -> None:
    warned = False
    try:
        while True:
            try:
                async with site.open():
                    if warned:
                        log.info("Redis was reached")
                    else:
                        task_status.started(True)
                    await trio.sleep_forever()
            except ConnectionLost as lost:
                if isinstance(lost, ConfigError):
                    raise
                if not warned:
                    log.warning("%s; trying again every %g s", str(lost).rstrip("."), OPEN_AGAIN)
                    site.waits = warned = True
                    task_status.started(False)
            await trio.sleep(OPEN_AGAIN)
    finally:
        site.waits = False


def open_site(
    source: str | Client | None,
    *,
    name: str,
    color: str,
    key_prefix: str,
    write: bool,
    login: str | None,
    token: str,
    trust_header: str,
    trust_proxy: Sequence[str],
    authorize: Authorize | None,
    hide: Hide | str | Sequence[str],
    trace_url: str,
    base_path: str,
    user: str = "web",
) -> Site:
    """Return a site; raise `ConfigError` for what cannot be.

    With a login, a token, a header or a function nobody else may look. `write` is the right to change
    for those who have no role in a file. `user` is who they are where nobody logs in.
    """
    if trace_url and TRACE_ID not in trace_url:
        raise ConfigError.of("trace_url", trace_url, f"a URL with {TRACE_ID} in it")
    if trace_url and not trace_url.startswith(("http://", "https://")):
        raise ConfigError.of("trace_url", trace_url, "a URL that begins with https:// or http://")
    right = Right.CHANGE if write else Right.LOOK
    known = bool(login or token or trust_header or authorize)
    access = Access(
        open_to=None if known else right,
        local_only=True,
        name=user,
        logins=LoginFile(login) if login else None,
        token=token,
        token_right=right,
        header=trust_header,
        proxies=trust_proxy,
        header_right=right,
        authorize=authorize,
    )
    if access.logins is not None:
        access.logins.logins()  # raises now for a file that cannot be read
    return Site(
        source,
        name=name,
        color=color,
        key_prefix=key_prefix,
        access=access,
        hide=hide,
        trace_url=trace_url,
        base_path=base_path,
    )
