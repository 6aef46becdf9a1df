"""Flags that several commands have."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

Name = Literal["url", "key_prefix", "json"]
_ARGUMENTS: Mapping[Name, Mapping[str, Any]] = MappingProxyType(
    {
        "url": {"help": "where the tasks live (REDIQ_URL)"},
        "key_prefix": {"metavar": "PREFIX", "help": "what all keys begin with (rediq)"},
        "json": {"action": "store_true", "help": "print JSON"},
    }
)


def flag_of(name: str) -> str:
    """Return the flag of a setting: `--key-prefix` for `key_prefix`."""
    return "--" + name.replace("_", "-")


def common_flags(parser: argparse.ArgumentParser, *names: Name) -> None:
    """Add flags that other commands have too."""
    for name in names:
        parser.add_argument(flag_of(name), **_ARGUMENTS[name])
