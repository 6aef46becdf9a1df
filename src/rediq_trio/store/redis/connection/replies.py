"""Error replies: how they are parsed, and what each means for the caller.

Servers, Sentinels and proxies refuse commands in more ways than any list has, so the list is of the
other kind: what can never succeed, because the command is wrong or the data is damaged. Every other
error reply is a refusal that passes. What an operator must correct (login, permissions, the kind of
URL) is one too, as it may be corrected while a worker runs; it is a `ConfigError` all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import redis.exceptions
from redis.asyncio.connection import DefaultParser

from rediq_trio._errors import (
    AccessRefused,
    PayloadTooLarge,
    RediqError,
    ServerRefused,
    StoreError,
)
from rediq_trio.store.redis.scripts import Script
from rediq_trio.store.urls import without_secrets

LARGE_COMMAND = 64 * 1024
"""Bytes of a command from which on a refusal of its size is believed."""

_NOT_CARRIED_OUT = frozenset({
    "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "NOREPLICAS",
    "MISCONF", "NOAUTH", "WRONGPASS", "MOVED", "ASK", "NOSCRIPT", "DENIED", "NOGOODSLAVE", "INPROG",
    "UNBLOCKED", "NOMASTERLINK", "NOQUORUM", "NOPROTO",
})  # fmt: skip
"""Codes of errors after which the command was certainly not carried out, not even in part.

Redis makes the checks of a script's commands before the script's first write."""
_RECONNECT = frozenset({"READONLY", "NOAUTH", "WRONGPASS", "LOADING"})
"""Codes that another connection may not meet: to another server, or with another login."""
_DAMAGED = frozenset({"WRONGTYPE", "CROSSSLOT", "NOTLISTED"})
_DAMAGED_TEXTS = re.compile(
    "|".join((
        r"user_script:\d+:", r"error compiling script", r"\bunknown (sub)?command\b",
        r"unknown redis command called from", r"wrong number of arg", r"syntax error",
        r"not an integer", r"not a valid float", r"not a float", r"out of range",
        r"would overflow", r"would produce nan", r"invalid stream id", r"equal or smaller than",
        r"no such key", r"must be greater than 0-0", r"number of keys can'?t be",
        r"arguments must be strings or integers", r"too many arguments",
        r"stack limit|lua_unpack|results to unpack", r"NOTLISTED",
    )),
    re.IGNORECASE,
)  # fmt: skip
"""What Redis says of commands and scripts that are wrong, or meet data that is not the library's."""
_KILLED = re.compile("script killed|function killed", re.IGNORECASE)
_TOO_LARGE = re.compile(
    r"protocol error.*(bulk|mbulk|inline|length|big)|exceeds maximum allowed size|exceeds max"
    r"|request too large|command too large|payload too large|message too large",
    re.IGNORECASE,
)
_SLOT_MOVING = "access a non local key"
_LOGIN = re.compile(
    r"^(NOAUTH|WRONGPASS)\b|invalid password|invalid username|authentication required",
    re.IGNORECASE,
)
_ACL_COMMAND = re.compile(r"permissions? to run the '([^']+)' command")
_ACL_CALLED = re.compile(r"redis\.call\('([A-Z]+)'")
_CODE = re.compile(r"-?([A-Z][A-Z0-9_]+)(?=\s|$)")
_WRAPPED = re.compile(
    r"^ERR Error running script \(call to \w+\): (?:@user_script:\s*\d+:\s*)+(?=-?[A-Z@])",
    re.DOTALL,
)
"""How Redis 6.2 begins the error of a command that a script called."""
_KEY_OF_QUEUE = re.compile(rb":\{([^}]+)\}:")


class ReplyParser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's parser, whose errors hold the whole line, and never break the connection.

    redis-py takes some error replies for a broken connection, and cannot parse others. While it
    connects, that is right.
    """

    is_connected = False
    """Whether the connection is ready for commands."""

    def parse_error(self, response: str) -> Exception:
        parse = cast("Callable[[str], Exception]", super().parse_error)  # pyright: ignore  (untyped)
        try:
            error = parse(response)
        except (ValueError, IndexError, TypeError):
            error = redis.exceptions.ResponseError(response)
        if self.is_connected and not isinstance(error, redis.exceptions.ResponseError):
            error = redis.exceptions.ResponseError(response)
        error.line = response  # type: ignore[attr-defined]
        return error


def line_of(error: BaseException) -> str:
    """Return the line of an error reply, with its code."""
    line: str = getattr(error, "line", "") or str(error)
    return line


def reason_of(error: BaseException) -> str:
    """Return what an error says, for the middle of a sentence; never empty."""
    said = str(error).strip().rstrip(".")
    if said:
        return said
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


def needs_reconnect(line: str) -> bool:
    """Return whether the next command had better be sent on another connection."""
    return _code(line) in _RECONNECT


def closes_connection(line: str) -> bool:
    """Return whether a server reads no further command of the connection after this answer."""
    return "Protocol error" in line


def is_size_error(line: str) -> bool:
    """Return whether a server says that a command is too large."""
    return bool(_TOO_LARGE.search(line))


def translate_error(
    line: str, script: Script | None = None, *, key: bytes = b"", size: int = 0
) -> RediqError:
    """Return our exception for an error reply to a command, or to `script`.

    `key` is one of the command's keys, and `size` its bytes.
    """
    said = without_secrets(line)
    name, queue = script.name if script else "", _queue_of(key)
    what = describe_call(script, key)
    inner = _WRAPPED.sub("", line)
    if _SLOT_MOVING in line:
        # A key of the script has moved to another node meanwhile, so it may be executed in part.
        return ServerRefused(f"a slot of the Cluster is moving: {said}", reply=said, sent=True)
    if size >= LARGE_COMMAND and is_size_error(line):
        return too_large(what, size, said)
    if _is_permission_error(line):
        permission = missing_permission(line, script.source if script else "")
        return AccessRefused(
            f"Redis refused the command: the user lacks the permission {permission}; the lines to give "
            f"a user are in docs/security.md ({said})", reply=said, sent=True,
        )  # fmt: skip
    if _LOGIN.search(line):
        return AccessRefused(
            f"Redis refused the command: {said}; check user, password and ACL", reply=said
        )
    code = _code(inner)
    if code == "MOVED":
        return AccessRefused(
            "the server is a node of a Cluster: connect to it as "
            f"redis+cluster://host:port,host:port ({said})", reply=said,
        )  # fmt: skip
    if not _KILLED.search(line) and _is_for_good(code, inner):
        return StoreError(
            f"{what or 'a command'}: Redis refuses it for good: {said}; check the queue with "
            "`rediq check`",
            reply=said, queue=queue, script=name,
        )  # fmt: skip
    return ServerRefused(
        f"Redis cannot take commands now: {said}", reply=said,
        sent=code not in _NOT_CARRIED_OUT and not _KILLED.search(line),
    )  # fmt: skip


def describe_call(script: Script | None, key: bytes) -> str:
    """Return which script of which queue a call runs, for a message; '' if neither is known."""
    queue = _queue_of(key)
    name = f"the script {script.name}" if script else ""
    return " of ".join(filter(None, (name, queue and f"the queue {queue}")))


def too_large(what: str, size: int, why: str) -> PayloadTooLarge:
    """Return the error for a command that a server refuses for its size."""
    return PayloadTooLarge(
        f"{what or 'a command'}: the server refuses a command of {size:,} bytes ({why}); pass a "
        "reference to large data, or raise the server's proto-max-bulk-len"
    )


def _is_for_good(code: str, text: str) -> bool:
    if code in _DAMAGED:
        return True
    # Other codes are the server's state, whatever else the text says.
    return code in ("", "ERR") and bool(_DAMAGED_TEXTS.search(text))


def _code(line: str) -> str:
    found = _CODE.match(_WRAPPED.sub("", line))
    return found[1] if found else ""


def _queue_of(key: bytes) -> str:
    found = _KEY_OF_QUEUE.search(key)
    return found[1].decode("utf-8", "replace") if found else ""


def _is_permission_error(line: str) -> bool:
    # The servers word the refusal in many ways.
    signs = ("NOPERM", "ACL failure in script", "user executing the script")
    return any(sign in line for sign in signs)


def missing_permission(message: str, source: str) -> str:
    """Return the missing permission, in ACL syntax; `source` is the script that ran, if any.

    Redis 6.2 does not name a command that a script ran; then it is one of the script's commands.
    """
    if command := _ACL_COMMAND.search(message):
        return f"+{command[1].replace(' ', '|').lower()}"
    if "channel" in message:
        return "&rediq* (the channels of its queues; the prefix is key_prefix)"
    if "key" in message:
        return "~rediq* (the keys of its queues; the prefix is key_prefix)"
    if source:
        called = sorted({name.lower() for name in _ACL_CALLED.findall(source)})
        return "one of " + " ".join(f"+{name}" for name in called)
    return "to run it"


def set_connected(parser: Any) -> None:
    """Note that a connection is ready for commands."""
    if isinstance(parser, ReplyParser):
        parser.is_connected = True
