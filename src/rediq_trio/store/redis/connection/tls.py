"""TLS: the options of a `rediss://` URL, and the meaning of a failed handshake.

Verification is on: a trusted CA must have signed the certificate, and it must name the host. The
query of the URL has the options under redis-py's names, so that one string is the whole
configuration. An unknown name is refused, so that no typing error can switch anything off.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from rediq_trio._errors import ConfigError, ConnectionLost, RediqError, quote
from rediq_trio.store.redis.connection.replies import reason_of, translate_error

log = logging.getLogger("rediq_trio")

SERVER_OPTIONS = ("db", "username", "password", "client_name")
"""Options that the query of any URL may have."""
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
TLS_FILE_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
"""TLS options that are a file, or a folder of files."""
TLS_OPTIONS = (*TLS_FILE_OPTIONS, "ssl_password", "ssl_check_hostname", "ssl_cert_reqs")
_OPTION_NAME = re.compile(r"(client|connection|health|retry|sentinel|socket|ssl)_[a-z_]{1,30}")
"""What the options of redis-py's URLs look like, and passwords do not."""
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_tls_options(url: str, arguments: dict[str, Any], url_shown: str) -> None:
    """Check the query of a URL, and add its TLS options to redis-py's arguments.

    `url_shown` is the URL without secrets. Raises `ConfigError` for an unknown option, for a TLS
    option without `rediss`, and for files that cannot be read or do not belong together.
    """
    # Python's own function refuses an IPv6 address after another host.
    text = url.partition("?")[2].partition("#")[0]
    query = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    secure = url.startswith("rediss")
    _check_names(url, query, secure, url_shown)
    if not secure:
        return
    checks_host = query.get("ssl_check_hostname", "true")
    if checks_host.lower() not in _BOOLEANS:
        raise ConfigError.of("ssl_check_hostname", checks_host, "true or false")
    required = query.get("ssl_cert_reqs", "required")
    if required not in ("required", "none"):
        raise ConfigError.of("ssl_cert_reqs", required, "required, or none (dangerous)")
    arguments["ssl_check_hostname"] = _BOOLEANS[checks_host.lower()] and required != "none"
    arguments["ssl_cert_reqs"] = required
    if "ssl_keyfile" in query and "ssl_certfile" not in query:
        raise ConfigError.of("ssl_keyfile", query["ssl_keyfile"], "given with ssl_certfile")
    _check_files(query)
    if required == "none":
        log.warning(
            "%s: ssl_cert_reqs=none: anyone in between can read and change all tasks", url_shown
        )


def _check_names(url: str, query: Mapping[str, str], secure: bool, url_shown: str) -> None:
    known: tuple[str, ...] = SERVER_OPTIONS
    if "+sentinel" in url.partition("://")[0]:
        known += SENTINEL_OPTIONS
    for name in query:
        if name in TLS_OPTIONS:
            if not secure:
                raise ConfigError(f"url={url_shown!r}: {name} needs rediss://, with two s")
        elif name not in known:
            # The value is not shown, because it may be a password. The name may be a part of one
            # too, after a ? or & in the password that was not percent-encoded.
            plain = _OPTION_NAME.fullmatch(name)
            wrong = (
                f"no option is named {quote(name)}" if plain else "its query has an unknown option"
            )
            raise ConfigError(
                f"url={url_shown!r}: {wrong}; there are "
                f"{', '.join((*known, *TLS_OPTIONS))}; ?, &, # and % of a password are written "
                "as %3F, %26, %23 and %25"
            )


def _check_files(query: Mapping[str, str]) -> None:
    """Read the files once, so that a bad one is an error before any connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("ssl_ca_certs", "ssl_ca_path"):
        if name in query:
            where = query[name]
            way = {"cafile": where} if name == "ssl_ca_certs" else {"capath": where}
            try:
                context.load_verify_locations(**way)
            except OSError as error:  # ssl.SSLError is one
                raise ConfigError.of(name, where, f"readable as certificates: {error}") from error
    if "ssl_certfile" in query:
        try:
            context.load_cert_chain(
                query["ssl_certfile"],
                query.get("ssl_keyfile"),
                # Never None: OpenSSL would ask at the terminal.
                query.get("ssl_password", ""),
            )
        except OSError as error:
            raise ConfigError.of(
                "ssl_certfile",
                query["ssl_certfile"],
                "readable as a certificate, with its key there or in ssl_keyfile "
                f"(ssl_password, if it has one): {error}",
            ) from error


def connect_error(url_shown: str, error: BaseException, *, secure: bool) -> RediqError:
    """Return the error that says why a server could not be reached, and what to do."""
    causes = _causes(error)
    found = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if isinstance(found, ssl.SSLCertVerificationError):
        return ConfigError(
            f"{url_shown}: the server's certificate is refused: {found.verify_message}; {_remedy(found)}"
        )
    line = next((line for each in causes if (line := getattr(each, "line", ""))), "")
    if "db index" in line.lower():
        return ConfigError(f"{url_shown}: the server has no database of that number ({line})")
    if line:
        return translate_error(line)
    message = reason_of(error)
    if found is not None and "ALERT" in (found.reason or ""):
        return ConfigError(
            f"{url_shown}: the server refused the TLS connection: {found.reason}; does it ask for a client "
            "certificate? Give ssl_certfile and ssl_keyfile in the URL, signed by the CA it trusts"
        )
    hint = "is Redis running there?"
    cut = any(word in message.lower() for word in ("closed", "reset", "lost", "pipe"))
    if secure and cut:
        # The server's reason may be lost with the connection.
        hint = (
            "does it ask for a client certificate? Give ssl_certfile and ssl_keyfile in the URL. Does "
            "Redis speak TLS on that port? A plain one is reached by redis://, with one s"
        )
    elif secure and not isinstance(causes[-1], ConnectionRefusedError):
        hint = "does Redis speak TLS on that port? A plain one is reached by redis://, with one s"
    elif not secure and cut:
        hint = "does it speak TLS on that port? Then use rediss://, with two s"
    return ConnectionLost(f"cannot connect to {url_shown}: {message}; {hint}", sent=False)


def _remedy(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message
    if "expired" in message or "not yet valid" in message:
        return "renew it, or set the clock right"
    if "mismatch" in message.lower():
        return "use the host name that the certificate has, or have one made for this host"
    return "if it is the right server, give the CA that signed it as ssl_ca_certs in the URL"


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found
