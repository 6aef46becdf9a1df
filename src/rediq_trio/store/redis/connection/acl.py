"""Rights: which right of a Redis user is missing when the server refuses a command.

The servers word it in many ways, and Redis 6.2 does not name a command that a script
ran; then the commands of the script are named, one of which it is.
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"permissions? to run the '([^']+)' command")
_CALLED = re.compile(r"redis\.call\('([A-Z]+)'")
LINES = "the lines to give a user are in docs/security.md"


def is_refusal(said: str) -> bool:
    """Say whether an error reply means that the user lacks a right."""
    return "NOPERM" in said or "ACL failure in script" in said or "user executing the script" in said


def missing_right(said: str, source: str) -> str:
    """Name the right that is missing; `source` is the text of the script that ran, '' for none."""
    if command := _COMMAND.search(said):
        return f"+{command[1].replace(' ', '|').lower()}"
    if "channel" in said:
        return "&rediq* (the channels of its queues; the prefix is key_prefix)"
    if "key" in said:
        return "~rediq* (the keys of its queues; the prefix is key_prefix)"
    if source:
        called = sorted({name.lower() for name in _CALLED.findall(source)})
        return "one of " + " ".join(f"+{name}" for name in called)
    return "a command's"
