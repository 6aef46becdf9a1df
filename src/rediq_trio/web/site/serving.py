"""Serves a site over HTTP: Hypercorn on Trio."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hypercorn.trio
from hypercorn.config import Config

from rediq_trio._errors import ConfigError
from rediq_trio.web.site.application import Site

PAGE_BACKLOG = 100
"""Connections that may wait to be accepted."""
IDLE_TIMEOUT = 20.0
"""Seconds until a client must have sent a request, also between two."""
CLOSE_GRACE = 0.5
"""Seconds that requests have to finish when the server closes."""


def listen(host: str, port: int) -> socket.socket:
    """Listen on a port, 0 for a free one; raise `ConfigError` if that is impossible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"host={host!r}: {error.strerror or error}; name an address of this machine"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Here, because two processes may bind the same port, but only one can listen on it.
        listener.listen(PAGE_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port={port}: cannot listen on {host}: {error.strerror or error}; choose another with --port"
        ) from error
    return listener


def resolves_to_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host; raise `ConfigError` for an unknown one."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"host={host!r}: {error.strerror or error}; name an address of this machine"
        ) from error
    return all(ipaddress.ip_address(str(one[4][0])).is_loopback for one in found)


def url_of(host: str, listener: socket.socket, base_path: str = "") -> str:
    """Return the URL of the page for a browser on this machine."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}{base_path}/"


async def serve_site(
    site: Site, listener: socket.socket, stopped: Callable[[], Awaitable[object]]
) -> None:
    """Serve a site that is open until `stopped` returns; then streams end, and requests within 0.5 s."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("rediq_trio.web.server")
    config.errorlog.setLevel(logging.WARNING)  # the rest is of no use
    config.accesslog = None
    config.include_server_header = False
    config.graceful_timeout = CLOSE_GRACE
    config.keep_alive_timeout = IDLE_TIMEOUT

    async def stop() -> None:
        await stopped()
        site.end_streams()

    # Starlette and Hypercorn spell the types of ASGI differently.
    serve = cast("Any", hypercorn.trio.serve)  # pyright: ignore  (typed in part)
    await serve(cast("Any", site), config, shutdown_trigger=stop)
