"""The file of those who may log in: a line each, `user:hash:role`, read again when it changes.

The hash is scrypt's, with its cost in it. A role is `look`, `act` or `change`. A line whose hash is `*` is for
a user whom a proxy has authenticated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.web.site.page import Right

COST, BLOCK, PARALLEL = 2**14, 8, 5
"""scrypt's N, r and p: 16 MiB of memory and some 0.2 s; of OWASP's Password Storage Cheat Sheet."""
PASSWORD_LEAST, PASSWORD_MOST = 8, 1024
"""Characters of a password."""
NO_PASSWORD = "*"
ROLES = tuple(right.word for right in Right if right is not Right.NONE)
"""What a visitor of the file may do."""
_SALT_BYTES, _HASH_BYTES = 16, 32
_COST_MAX = 2**17
_USER = re.compile(r"[^\s:#\x00-\x1f\x7f][^:\x00-\x1f\x7f]{0,127}")


@attrs.frozen
class Login:
    """One line of the file."""

    user: str
    hash: str = attrs.field(repr=False)
    right: Right


def hash_of(password: str) -> str:
    """Return a hash with a salt of its own. Takes some 0.2 s."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        bound = f"{PASSWORD_LEAST} to {PASSWORD_MOST:,} characters"
        raise ConfigError(f"the password has {len(password):,} characters: must be {bound}")
    salt = secrets.token_bytes(_SALT_BYTES)
    found = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${_text(salt)}${_text(found)}"


def is_password(password: str, stored: str) -> bool:
    """Return whether a password has that hash. Takes as long if it has not."""
    _, cost, block, parallel, salt, expected = stored.split("$")
    found = _scrypt(password[:PASSWORD_MOST], _bytes(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, _bytes(expected))


def line_of(user: str, password: str, right: Right) -> str:
    """Return a line for the file; raise `ConfigError` for a name or password that cannot be."""
    if not _USER.fullmatch(user):
        raise ConfigError.of("user", user, "1 to 128 characters without ':' or control characters")
    return f"{user}:{hash_of(password)}:{right.word}"


def read_lines(text: str, where: str) -> Mapping[str, Login]:
    """Return the logins of a file by user; raise `ConfigError`, which names the line."""
    found: dict[str, Login] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        place = f"{where}, line {number}"
        parts = line.strip().split(":")
        if len(parts) != 3:
            raise ConfigError(f"{place}: must be user:hash:role; rediq web --add-user makes one")
        user, stored, role = parts
        if not _USER.fullmatch(user):
            raise ConfigError(
                f"{place}: the user must have 1 to 128 characters, none a control character"
            )
        if user in found:
            raise ConfigError(f"{place}: the user {user} has a line already")
        if stored != NO_PASSWORD and not _is_hash(stored):
            raise ConfigError(
                f"{place}: the hash is none of scrypt; rediq web --add-user makes one"
            )
        if role not in ROLES:
            raise ConfigError.of(f"{place}: role", role, "look, act or change")
        found[user] = Login(user, stored, Right[role.upper()])
    return found


class LoginFile:
    """The logins of a file, as it is now."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._seen: tuple[int, int, int] | None = None
        self._logins: Mapping[str, Login] = {}
        self._dummy = ""
        self._one_at_a_time = trio.CapacityLimiter(1)  # each takes 16 MiB and a processor

    def logins(self) -> Mapping[str, Login]:
        """Return the logins by user; raise `ConfigError` for a file that cannot be read or understood.

        Nobody may log in, or stay so, while it cannot: a line that was removed may be the reason.
        """
        try:
            stat = os.stat(self._path)
            seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
            if seen != self._seen:
                self._logins = read_lines(self._path.read_text("utf-8"), str(self._path))
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the login file {self._path} cannot be read: {error}") from error
        return self._logins

    async def check(self, user: str, password: str) -> Login | None:
        """Return the login of a user, if that is the password. Takes as long for an unknown user."""
        login = self.logins().get(user)
        known = login is not None and login.hash != NO_PASSWORD

        def judge() -> bool:
            if not self._dummy:
                self._dummy = hash_of(secrets.token_hex())
            return is_password(password, login.hash if login and known else self._dummy)

        right = await trio.to_thread.run_sync(judge, limiter=self._one_at_a_time)
        return login if known and right else None


def _is_hash(stored: str) -> bool:
    parts = stored.split("$")
    if len(parts) != 6 or parts[0] != "scrypt" or not all(each.isdigit() for each in parts[1:4]):
        return False
    cost, block, parallel = map(int, parts[1:4])
    if not (2 <= cost <= _COST_MAX and cost & (cost - 1) == 0):
        return False
    if not (1 <= block <= 16 and 1 <= parallel <= 16):
        return False
    try:
        return len(_bytes(parts[4])) >= 8 and len(_bytes(parts[5])) == _HASH_BYTES
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt, n=cost, r=block, p=parallel, dklen=_HASH_BYTES, maxmem=512 * 1024 * 1024,
    )  # fmt: skip


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
