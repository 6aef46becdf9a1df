"""Access: the ways in which a visitor is known, each in turn.

A token, a proxy's header, a session, the host's own function, and at last what is open to everybody.
"""

from __future__ import annotations

import hmac
import inspect
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from starlette.requests import Request

from rediq_trio._errors import ConfigError
from rediq_trio.web.access.login_file import Login, LoginFile
from rediq_trio.web.access.sessions import Sessions
from rediq_trio.web.access.slowing import Slowing
from rediq_trio.web.site.page import Refused, Right, Visitor

log = logging.getLogger("rediq_trio.web")

SESSION_COOKIE = "rediq_session"
TOKEN_LEAST = 16
"""Characters of a token."""
TOKEN_USER = "token"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers by which proxies say for whom they ask."""
Authorized = Visitor | Right | None
Authorize = Callable[[Request], Authorized | Awaitable[Authorized]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of addresses like "127.0.0.1" or "10.0.0.0/8"; raise `ConfigError`."""
    try:
        return tuple(ipaddress.ip_network(each) for each in addresses)
    except ValueError as error:
        raise ConfigError(
            f"trust_proxy: {error}; name addresses like 127.0.0.1 or 10.0.0.0/8"
        ) from None


@attrs.define(kw_only=True, eq=False)
class Access:
    """Decides who a visitor is.

    Raises `ConfigError` for a header without a proxy, and for a token that is too short.
    """

    open_to: Right | None = None
    """The right of everybody who reaches the page; None for nobody."""
    local_only: bool = False
    """Whether that is only for browsers on this machine, which ask it by its own name."""
    name: str = "web"
    """Who they are then, in the audit."""
    logins: LoginFile | None = None
    token: str = attrs.field(default="", repr=False)
    """What programs send as `Authorization: Bearer ...`, and people type in place of a password."""
    token_right: Right = Right.LOOK
    header: str = ""
    """The header in which a proxy names the user."""
    proxies: Sequence[str] = ()
    """The addresses from which the header is believed."""
    header_right: Right = Right.LOOK
    """The right of its users who are not in the login file."""
    authorize: Authorize | None = None
    """The host's function, which knows its own users."""
    sessions: Sessions = attrs.field(factory=Sessions)
    slowing: Slowing = attrs.field(factory=Slowing)
    _networks: tuple[Network, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._networks = read_networks(self.proxies)
        if self.header and not self._networks:
            raise ConfigError(
                "trust_header needs trust_proxy, the address of the proxy: anybody else could send it"
            )
        if self.proxies and not self.header:
            raise ConfigError(
                "trust_proxy needs trust_header, the header in which the proxy names the user"
            )
        if self.token and len(self.token) < TOKEN_LEAST:
            bound = f"must have {TOKEN_LEAST} or more"
            raise ConfigError(f"REDIQ_WEB_TOKEN has {len(self.token)} characters: {bound}")

    @property
    def has_login(self) -> bool:
        """Whether somebody can log in with a form."""
        return self.logins is not None or bool(self.token)

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who asks; None for nobody who may look. Raises `Refused` while the login file is bad."""
        found = self._of_token(request) or self._of_header(request) or self._of_session(request)
        if found is None and self.authorize is not None:
            answer = self.authorize(request)
            answer = await answer if inspect.isawaitable(answer) else answer
            found = Visitor(self.name, answer) if isinstance(answer, Right) else answer
        if found is None and self.open_to is not None:
            if self.local_only:
                check_local(request)
            found = Visitor(self.name, self.open_to)
        return found

    async def log_in(self, user: str, password: str) -> str | None:
        """Return the id of a new session; None for a wrong user or password."""
        if self.token and user in ("", TOKEN_USER) and _same(password, self.token):
            return self.sessions.begin(TOKEN_USER, self.token)
        login = None
        if self.logins is not None:
            self._known_logins()
            login = await self.logins.check(user, password)
        return self.sessions.begin(user, login.hash) if login is not None else None

    def _of_token(self, request: Request) -> Visitor | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self.token and scheme.lower() == "bearer" and _same(given.strip(), self.token):
            return Visitor(TOKEN_USER, self.token_right)
        return None

    def _of_header(self, request: Request) -> Visitor | None:
        if not self.header or request.client is None:
            return None
        user = request.headers.get(self.header, "").strip()
        if not user or len(user) > 128 or not self._is_proxy(request.client.host):
            return None
        login = self._login(user)
        return Visitor(user, login.right if login is not None else self.header_right)

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def _of_session(self, request: Request) -> Visitor | None:
        ident = request.cookies.get(SESSION_COOKIE, "")
        session = self.sessions.find(ident) if ident else None
        if session is None:
            return None
        if session.user == TOKEN_USER and self.token and session.hash == self.token:
            return Visitor(TOKEN_USER, self.token_right, ident)
        login = self._login(session.user)
        if login is None or login.hash != session.hash:
            self.sessions.end(ident)  # the user was removed, or has a new password
            return None
        return Visitor(login.user, login.right, ident)

    def _login(self, user: str) -> Login | None:
        return self._known_logins().get(user)

    def _known_logins(self) -> Mapping[str, Login]:
        try:
            return {} if self.logins is None else self.logins.logins()
        except ConfigError as error:
            log.warning("nobody can log in: %s", error)
            why = "the login file cannot be read, or has a line that is wrong: nobody can log in now"
            raise Refused(why, "Its log says which line.", 503) from error


def check_local(request: Request) -> None:
    """Raise `Refused` unless a browser on this machine asks, by a name of this machine.

    A proxy on this machine would make everybody look like that, and so would a site whose name
    leads to this machine.
    """
    why = ""
    if request.client is None or not is_loopback(request.client.host):
        why = "it is open only to this machine, and you come from another"
    elif any(name in request.headers for name in FORWARDED):
        why = "it is open only to this machine, and a proxy has passed on your request"
    elif not is_loopback(request.url.hostname or ""):
        why = f"it is open only as http://localhost or http://127.0.0.1, not as {request.url.hostname}"
    if why:
        raise Refused(
            why, "Whoever runs it can let you in: --login, REDIQ_WEB_TOKEN or --trust-header.", 403
        )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: "localhost", "127.0.0.1" or "::1"."""
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())
