"""Addresses: a Redis URL, read: one server, one behind Sentinels, or a Cluster."""

from __future__ import annotations

import enum
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import attrs
from redis.asyncio.connection import Connection, SSLConnection, parse_url

from rediq_trio._errors import ConfigError
from rediq_trio.store.redis.connection.tls import settle_tls
from rediq_trio.store.urls import redacted
from rediq_trio.values.bounds import is_name

REDIS_PORT, SENTINEL_PORT = 6379, 26379


@attrs.frozen
class Node:
    """A server by host and port; both empty where the URL alone says how to reach it."""

    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Kind(enum.Enum):
    """How the servers behind an address stand to one another."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


KINDS = {
    "redis": Kind.SINGLE,
    "rediss": Kind.SINGLE,
    "unix": Kind.SINGLE,
    "redis+sentinel": Kind.SENTINEL,
    "rediss+sentinel": Kind.SENTINEL,
    "redis+cluster": Kind.CLUSTER,
    "rediss+cluster": Kind.CLUSTER,
}


@attrs.frozen
class Address:
    """Where the servers are, as redis-py wants it named."""

    kind: Kind
    connection_class: Any = attrs.field(repr=False)
    arguments: dict[str, Any] = attrs.field(repr=False)
    """Of a connection to a server with data. May hold a password."""
    shown: str
    nodes: tuple[Node, ...] = (Node(),)
    """The server, the Sentinels, or some nodes of the Cluster."""
    service: str = ""
    """What the Sentinels call the service."""
    sentinel_arguments: dict[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @property
    def secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return issubclass(self.connection_class, SSLConnection)

    def __str__(self) -> str:
        return self.shown


def parse_address(url: str) -> Address:
    """Read a URL of Redis; raise `ConfigError` for a bad one."""
    shown = str(redacted(url))
    scheme = url.partition("://")[0]
    kind = KINDS[scheme]
    bad = ""
    try:
        return _single(url, shown) if kind is Kind.SINGLE else _several(url, shown, kind)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        bad = type(error).__name__
    # Behind the handler: the error there quotes the URL, and would be this one's context.
    raise ConfigError(f"url={shown!r}: cannot be read as a Redis URL ({bad})")


def _single(url: str, shown: str) -> Address:
    parts = urlsplit(url)
    _ = parts.port  # raises for a port that is none
    arguments: dict[str, Any] = dict(parse_url(url))
    settle_tls(url, arguments, shown)
    if parts.scheme == "unix" and not unquote(parts.path):
        raise ConfigError.of("url", shown, "unix:// and the path of a socket")
    return Address(Kind.SINGLE, arguments.pop("connection_class", Connection), arguments, shown)


def _several(url: str, shown: str, kind: Kind) -> Address:
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    place, _, path = place.partition("/") if "@" not in place else _behind_user(place)
    user, at, hosts = place.rpartition("@")
    usual = SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT
    nodes = tuple(_node(host, usual) for host in hosts.split(","))
    service, database = "", path
    if kind is Kind.SENTINEL:
        service, _, database = path.partition("/")
        service = unquote(service)
        if not is_name(service) or not (database or "0").isdigit():
            raise ConfigError.of("url", shown, "redis+sentinel://host:port,host:port/service/db")
    elif database not in ("", "0"):
        raise ConfigError.of("url", shown, "without a database: a Cluster has number 0 only")
    options = parse_qs(query, keep_blank_values=True)
    own = {name: options.pop(f"sentinel_{name}", [""])[0] for name in ("username", "password")}
    base = "rediss" if scheme.startswith("rediss") else "redis"
    one = f"{base}://{user}{at}{nodes[0]}/{database}?{urlencode(options, doseq=True)}"
    arguments: dict[str, Any] = dict(parse_url(one))
    settle_tls(url, arguments, shown)
    connection_class = arguments.pop("connection_class", Connection)
    for name in ("host", "port"):
        arguments.pop(name, None)
    sentinel = {k: v for k, v in arguments.items() if k not in ("db", "username", "password")}
    sentinel |= {name: value for name, value in own.items() if value}
    return Address(kind, connection_class, arguments, shown, nodes, service, sentinel)


def _behind_user(place: str) -> tuple[str, str, str]:
    """Part the path from what is in front; a slash in a password is not its beginning."""
    user, _, rest = place.rpartition("@")
    hosts, slash, path = rest.partition("/")
    return f"{user}@{hosts}", slash, path


def _node(text: str, usual: int) -> Node:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return Node(parts.hostname, parts.port or usual)
