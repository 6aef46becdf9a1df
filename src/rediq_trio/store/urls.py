"""URLs: where the tasks live. A password never shows in what this module gives out."""

from __future__ import annotations

import os

from rediq_trio._errors import ConfigError

DEFAULT_URL = "redis://127.0.0.1:6379"
SCHEMES = (
    "redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel",
    "rediss+sentinel", "memory", "embedded",
)  # fmt: skip


def default_url() -> str:
    """Give `REDIQ_URL`, or a Redis on this machine."""
    return os.environ.get("REDIQ_URL") or DEFAULT_URL


def scheme_of(url: object) -> str:
    """Give the scheme of a URL; raise `ConfigError` for one that is not ours."""
    if not isinstance(url, str) or "://" not in url:
        raise ConfigError.of("url", redacted(url), "a URL like " + DEFAULT_URL)
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise ConfigError.of("url", redacted(url), "of one of the schemes " + ", ".join(SCHEMES))
    return scheme


def embedded_folder(url: str) -> str | None:
    """Give the folder of an `embedded://` URL, None for a temporary one; raise `ConfigError`."""
    folder = url.partition("://")[2]
    if folder and not folder.startswith("/"):
        raise ConfigError.of("url", url, "embedded:// or embedded:///path/of/a/folder")
    return folder or None


def redacted(url: object) -> object:
    """Give a URL without its user, password and query; anything that is no text as its type's name."""
    if not isinstance(url, str):
        return f"<{type(url).__name__}>"
    scheme, mark, rest = url.partition("://")
    if not mark:  # no URL, but it may still hold a password
        scheme, rest = "", url
    host = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}{mark}{host}"

