"""Flags that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

AddParser = Callable[..., argparse.ArgumentParser]
"""Adds the parser of a command, whose name and line of help are known; takes the rest."""

_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "url": {"help": "where the tasks live (REDIQ_URL)"},
    "key_prefix": {"metavar": "PREFIX", "help": "what all keys begin with (rediq)"},
    "json": {"action": "store_true", "help": "print JSON"},
}
REPEATED_FLAGS = {"labels": "--label"}
"""Settings whose flag may be given several times, one item each, with their flags."""


def flag_of(name: str) -> str:
    """Return the flag of a setting: `--key-prefix` for `key_prefix`."""
    return REPEATED_FLAGS.get(name) or "--" + name.replace("_", "-")


def common_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add flags that other commands have too."""
    for name in names:
        parser.add_argument(flag_of(name), **_ARGUMENTS[name])


def port_flag(text: str) -> int:
    """Read a port of the command line."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number from 0 to 65535")
    return int(text)
