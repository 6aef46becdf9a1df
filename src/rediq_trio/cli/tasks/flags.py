"""The task that flags and words of a command line describe: its options, payload and instants."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import time_flag
from rediq_trio.cli.tasks.caret import pointed
from rediq_trio.observe.clock import due_instant
from rediq_trio.observe.filter_line import value_of
from rediq_trio.observe.words import duration, read_duration
from rediq_trio.values.bounds import MAX_DELAY
from rediq_trio.values.limits import Rate
from rediq_trio.values.task import Task, Unique

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--queue", {"default": None, "help": "the queue (default)"}),
    ("--priority", {"type": int, "metavar": "N", "help": "0 (first) to 100 (last) (50)"}),
    ("--delay", {"type": time_flag, "metavar": "TIME", "help": "wait before it, like 10m"}),
    ("--at", {"metavar": "INSTANT", "help": "when, like 2026-12-24T18:00+01:00"}),
    ("--id", {"help": "its own id: a second one of that id is refused"}),
    ("--unique", {"metavar": "KEY", "help": "refuse a second task with this key"}),
    ("--max-retry", {"type": int, "metavar": "N", "help": "attempts after the first"}),
    ("--meta", {"action": "append", "default": [], "metavar": "KEY=VALUE", "help": "metadata"}),
)
"""Flags of the options of a task."""


def task_of(options: argparse.Namespace, kind: str, payload: Any) -> Task[Any]:
    """Return the task that the flags describe; raise `ConfigError`."""
    given = vars(options)
    check_delay(given.get("delay"))
    names = ("queue", "priority", "delay", "id", "max_retry")
    fields = {name: given[name] for name in names if given.get(name) is not None}
    if given.get("at") is not None:
        fields["run_at"] = due_instant("--at", given["at"])
    if given.get("unique") is not None:
        fields["unique"] = Unique(key=given["unique"])
    if given.get("meta"):
        fields["metadata"] = dict(read_pair("--meta", text) for text in given["meta"])
    return Task(kind, payload, **fields)


def read_payload(words: Sequence[str]) -> Any:
    """Return the payload that the words of a command line are; raise `ConfigError`."""
    if not words:
        return {}
    if len(words) == 1 and not _is_pair(words[0]):
        return read_json("payload", words[0], "; pass JSON, or KEY=VALUE pairs")
    return {key: value_of(text) for key, text in (read_pair("payload", word) for word in words)}


def _is_pair(word: str) -> bool:
    return word.partition("=")[0].isidentifier() and "=" in word


def read_pair(field: str, text: str) -> tuple[str, str]:
    """Return the key and the value of KEY=VALUE; raise `ConfigError`, with a caret."""
    key, mark, value = text.partition("=")
    if not mark or not key:
        error = ConfigError.of(field, text, "KEY=VALUE")
        raise pointed(error, text, len(key))
    return key, value


def read_json(field: str, text: str, hint: str = "") -> Any:
    """Read JSON; raise a `ConfigError` that names the place where it breaks."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 10) : error.pos + 10]
        raise ConfigError(
            f"{field}: no JSON at character {error.pos + 1}, near {near!r}: {error.msg}{hint}"
        ) from None
    except ValueError as error:  # a number of more digits than Python reads
        raise ConfigError(f"{field}: no JSON: {error}") from None
    except RecursionError:
        raise ConfigError(f"{field}: no JSON: it is nested too deeply") from None


def check_delay(delay: float | None) -> None:
    """Raise `ConfigError` for a delay that is too long."""
    if delay is not None and delay > MAX_DELAY:
        raise ConfigError(f"--delay: {duration(delay)} is too long: at most 1 year, which is 366d")


def read_rate(field: str, text: str, hint: str = "") -> Rate:
    """Read how many in a time, like 100/1m or 5/s; raise `ConfigError`."""
    number, mark, period = text.partition("/")
    try:
        if not mark:
            raise ValueError
        seconds = read_duration(period if period[:1].isdigit() else f"1{period}")
        return Rate(int(number), per=seconds)
    except ConfigError as error:
        raise ConfigError(f"{field}: {error}") from None
    except ValueError:
        raise ConfigError.of(field, text, f"like 100/1m or 5/s{hint}") from None
