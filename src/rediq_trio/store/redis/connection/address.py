"""Addresses: a parsed Redis URL, of one server, of a master behind Sentinels, or of a Cluster."""

from __future__ import annotations

import enum
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import attrs
from redis.asyncio.connection import Connection, SSLConnection, parse_url

from rediq_trio._errors import ConfigError
from rediq_trio.store.redis.connection.tls import read_tls_options
from rediq_trio.store.urls import redacted
from rediq_trio.values.bounds import is_name

REDIS_PORT, SENTINEL_PORT = 6379, 26379


@attrs.frozen
class RedisNode:
    """A server by host and port; both are empty if the arguments of the address are enough."""

    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Deployment(enum.Enum):
    """How the servers of an address are deployed; the schemes of URLs end like the values."""

    STANDALONE = "standalone"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@attrs.frozen
class Address:
    """Where the servers are, with the arguments for redis-py's connections."""

    deployment: Deployment
    connection_class: Any = attrs.field(repr=False)
    arguments: dict[str, Any] = attrs.field(repr=False)
    """Arguments of a connection to a server with data. May hold a password."""
    shown: str
    nodes: tuple[RedisNode, ...] = (RedisNode(),)
    """The server, the Sentinels, or some nodes of the Cluster."""
    service: str = ""
    """The name of the service, as the Sentinels know it."""
    sentinel_arguments: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @property
    def secure(self) -> bool:
        """Whether connections use TLS."""
        return issubclass(self.connection_class, SSLConnection)

    def __str__(self) -> str:
        return self.shown


def parse_address(url: str) -> Address:
    """Parse a Redis URL; raise `ConfigError` for a bad one."""
    shown = str(redacted(url))
    try:
        kind = url.partition("://")[0].partition("+")[2]
        return _parse_several(url, shown, Deployment(kind)) if kind else _parse_one(url, shown)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        bad = type(error).__name__
    # Not in the handler: the error there quotes the URL, and would be the context of this one.
    raise ConfigError(f"url={shown!r}: cannot be read as a Redis URL ({bad})")


def _parse_one(url: str, shown: str) -> Address:
    parts = urlsplit(url)
    _ = parts.port  # raises for a bad port
    database = unquote(parts.path).removeprefix("/")
    if parts.scheme != "unix" and database and not _is_number(database):
        raise ConfigError.of(
            "url", shown, "redis://host:port/ and the number of a database, if any"
        )
    connection_class, arguments = _arguments(url, url, shown)
    if parts.scheme == "unix" and not unquote(parts.path):
        raise ConfigError.of("url", shown, "unix:// and the path of a socket")
    return Address(Deployment.STANDALONE, connection_class, arguments, shown)


def _arguments(url: str, single_url: str, shown: str) -> tuple[Any, dict[str, Any]]:
    arguments: dict[str, Any] = dict(parse_url(single_url))
    read_tls_options(url, arguments, shown)
    return arguments.pop("connection_class", Connection), arguments


def _parse_several(url: str, shown: str, deployment: Deployment) -> Address:
    scheme, _, rest = url.partition("://")
    location, _, query = rest.partition("?")
    # A slash within a password does not begin the path.
    user, at, location = location.rpartition("@")
    hosts, _, path = location.partition("/")
    default_port = SENTINEL_PORT if deployment is Deployment.SENTINEL else REDIS_PORT
    nodes = tuple(_node(host, default_port) for host in hosts.split(","))
    service, database = "", path
    if deployment is Deployment.SENTINEL:
        service, _, database = path.partition("/")
        service = unquote(service)
        if not is_name(service) or not _is_number(database or "0"):
            raise ConfigError.of("url", shown, "redis+sentinel://host:port,host:port/service/db")
    elif database not in ("", "0"):
        raise ConfigError.of("url", shown, "without a database: a Cluster has number 0 only")
    options = parse_qs(query, keep_blank_values=True)
    sentinel_login = {
        name: options.pop(f"sentinel_{name}", [""])[0] for name in ("username", "password")
    }
    base = "rediss" if scheme.startswith("rediss") else "redis"
    single_url = f"{base}://{user}{at}{nodes[0]}/{database}?{urlencode(options, doseq=True)}"
    connection_class, arguments = _arguments(url, single_url, shown)
    for name in ("host", "port"):
        arguments.pop(name, None)
    sentinel = {k: v for k, v in arguments.items() if k not in ("db", "username", "password")}
    sentinel |= {name: value for name, value in sentinel_login.items() if value}
    return Address(deployment, connection_class, arguments, shown, nodes, service, sentinel)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _node(text: str, default_port: int) -> RedisNode:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return RedisNode(parts.hostname, parts.port or default_port)
