"""The tables of the command line: its commands with their flags, from the parsers, and its alerts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from rediq_trio.cli.main import make_parser
from rediq_trio.observe.alerts import RULES

COMMON = ("--url", "--key-prefix", "--json", "--no-color", "--timeout", "--yes", "--dry-run")
"""Flags that many commands have: they have a table of their own."""
LONG = ("demo", "run")
"""Commands whose flags have pages of their own."""

Parsers = Iterator[tuple[str, str, argparse.ArgumentParser]]


def parsers(parser: argparse.ArgumentParser, before: str = "rediq") -> Parsers:
    """Yield each command and verb: its words, its line of help, and its parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                words = f"{before} {name}"
                verbs = [*parsers(inner, words)]
                yield from verbs or [(words, helps[name], inner)]


def commands() -> str:
    """Return the table of all commands."""
    rows = ["| command | what it does | flags |", "| --- | --- | --- |"]
    for words, help, parser in parsers(make_parser()):
        own = [action for action in parser._actions if action.option_strings]
        flags = [_flag(action) for action in own if _name(action) not in ("--help", *COMMON)]
        if words.split()[1] in LONG:
            flags = [f"`{words} --help`"]
        asks = _operates(parser) and any(_name(action) == "--yes" for action in own)
        said = f"{_cell(help)}{'; asks first' if asks else ''}"
        rows.append(f"| `{words}{_arguments(parser)}` | {said} | {', '.join(flags)} |")
    return "\n".join(rows)


def common() -> str:
    """Return the table of the flags that many commands have."""
    found: dict[str, str] = {}
    for _, _, parser in parsers(make_parser()):
        for action in parser._actions:
            if _name(action) in COMMON and _operates(parser):
                found.setdefault(_flag(action), _cell(action.help or ""))
    rows = ["| flag | meaning |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| {flag} | {help} |" for flag, help in found.items())])


def alerts() -> str:
    """Return the table of the rules of `rediq status`, the most severe first."""
    rows = ["| alert | severity | means | what to do |", "| --- | --- | --- | --- |"]
    for rule in RULES:
        step = _cell(rule.next_step.replace("{}", "NAME"))
        rows.append(f"| `{rule.name}` | {rule.severity} | {rule.means} | {step} |")
    return "\n".join(rows)


def _operates(parser: argparse.ArgumentParser) -> bool:
    # `check`, `history` and `replay` have some of these flags too, with a meaning of their own.
    return "work" in parser._defaults


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else ""


def _flag(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return f"`{_name(action)}{value}`"


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "\\|".join(map(str, action.choices))
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    name = name.strip("[]")
    return f"[{name}]" if action.nargs == "?" else name


def _arguments(parser: argparse.ArgumentParser) -> str:
    words = ""
    for action in parser._actions:
        if not action.option_strings:
            name = _value(action).strip("[]")
            words += {"*": f" [{name} ...]", "+": f" {name} ...", "?": f" [{name}]"}.get(
                str(action.nargs), f" {name}"
            )
    return words


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("%%", "%")
