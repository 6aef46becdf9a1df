"""URLs of stores. Nothing that this module returns or raises shows a password."""

from __future__ import annotations

import os
import re
import sys
from urllib.parse import urlsplit

from rediq_trio._errors import ConfigError

DEFAULT_URL = "redis://127.0.0.1:6379"
SCHEMES = (
    "redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel",
    "rediss+sentinel", "memory", "embedded",
)  # fmt: skip
_UNIX_SCHEMES = ("unix", "embedded")


def default_url() -> str:
    """Return `REDIQ_URL`, or else the URL of a Redis on this machine."""
    return os.environ.get("REDIQ_URL") or DEFAULT_URL


def scheme_of(url: object, platform: str = sys.platform) -> str:
    """Return the scheme of a URL; raise `ConfigError` for one that is not supported here."""
    if not isinstance(url, str) or "://" not in url:
        raise ConfigError.of("url", redacted(url), "a URL like " + DEFAULT_URL)
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise ConfigError.of("url", redacted(url), "of one of the schemes " + ", ".join(SCHEMES))
    if platform == "win32" and scheme in _UNIX_SCHEMES:
        reason = "Python has no Unix sockets on Windows"
        raise ConfigError.of("url", redacted(url), f"memory:// or like {DEFAULT_URL}: {reason}")
    return scheme


def server_of(url: object) -> tuple[str, int | None] | None:
    """Return host and port of a URL's server, or the path of its socket and None; None without one.

    The URL defaults as in `connect`. Of a Cluster it is the first node of the URL. Behind Sentinels it
    changes, so it is None.
    """
    url = default_url() if url is None else url
    if not isinstance(url, str):
        return None
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        return urlsplit(url).path, None
    if scheme not in _NETWORK_SCHEMES:
        return None
    first = re.split("[/?#]", rest.rpartition("@")[2], maxsplit=1)[0].partition(",")[0]
    found = _HOST_PORT.fullmatch(first)
    if found is None:
        return None
    return found["host"].strip("[]") or "localhost", int(found["port"] or 6379)


def embedded_folder(url: str) -> str | None:
    """Return the folder of an `embedded://` URL, None for a temporary one; raise `ConfigError`."""
    folder = url.partition("://")[2]
    if folder and not folder.startswith("/"):
        raise ConfigError.of("url", redacted(url), "embedded:// or embedded:///path/of/a/folder")
    return folder or None


def redacted(url: object) -> object:
    """Return a URL without its user, password and query; for anything but a text, its type's name.

    In a malformed URL, any part that may belong to a password is replaced by "..." too.
    """
    if not isinstance(url, str):
        return f"<{type(url).__name__}>"
    scheme, mark, rest = url.partition("://")
    if not mark:  # not a URL, but it may still hold a password
        scheme, rest = "", url
    elif not _SCHEME.fullmatch(scheme):
        scheme = HIDDEN
    user, at, after_user = rest.rpartition("@")
    # If a query begins before the last @, the @ may be part of a password in the query.
    hides_all = at and _QUERY.search(user)
    location = HIDDEN if hides_all else re.split("[?#]", after_user, maxsplit=1)[0]
    hosts, slash, path = location.partition("/")
    hosts = ",".join(host if _HOST.fullmatch(host) else HIDDEN for host in hosts.split(","))
    return f"{scheme}{mark}{hosts}{slash}{path}"


def without_secrets(text: str) -> str:
    """Return a text with each URL in it redacted."""
    return _URL.sub(lambda found: str(redacted(found[0])), text)


def shows_password(url: str) -> bool:
    """Return whether a URL holds a password."""
    location, _, query = url.partition("://")[2].partition("?")
    return bool(location.rpartition("@")[0].partition(":")[2]) or "password=" in query


HIDDEN = "..."
_URL = re.compile(r"[A-Za-z][\w+.-]*://\S*[^\s:;,.)'\"]")
_SCHEME = re.compile(r"[A-Za-z+]{1,20}")
_QUERY = re.compile(r"[?&]\w+=")
_NETWORK_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[\w.~-]*)(:(?P<port>\d{1,5}))?")
_HOST = re.compile(r"((\[[0-9A-Fa-f:.%]+\]|[\w.~-]+)(:\d{1,5})?)?")
