"""ACL: which permission a Redis user lacks when the server refuses a command.

The servers word the refusal in many ways. Redis 6.2 does not name a command that a script ran;
then the result names every command of the script.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"permissions? to run the '([^']+)' command")
_CALLED = re.compile(r"redis\.call\('([A-Z]+)'")
ACL_HINT = "the lines to give a user are in docs/security.md"


def is_permission_error(message: str) -> bool:
    """Return whether an error reply means that the user lacks a permission."""
    return (
        "NOPERM" in message
        or "ACL failure in script" in message
        or "user executing the script" in message
    )


def missing_permission(message: str, source: str) -> str:
    """Return the missing permission, in ACL syntax; `source` is the script that ran, if any."""
    if command := _COMMAND.search(message):
        return f"+{command[1].replace(' ', '|').lower()}"
    if "channel" in message:
        return "&rediq* (the channels of its queues; the prefix is key_prefix)"
    if "key" in message:
        return "~rediq* (the keys of its queues; the prefix is key_prefix)"
    if source:
        called = sorted({name.lower() for name in _CALLED.findall(source)})
        return "one of " + " ".join(f"+{name}" for name in called)
    return "to run it"
