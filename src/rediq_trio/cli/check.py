"""`rediq check`: check that every invariant holds, and repair what needs no guess.

Exit status: 0 all hold, 1 some do not, 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from rediq_trio._errors import ConfigError, RediqError
from rediq_trio._nursery import innermost
from rediq_trio.admin.queue import Queue
from rediq_trio.cli.check_report import (
    Finding,
    show_advice,
    show_plan,
    show_violations,
    to_json,
)
from rediq_trio.cli.error_text import explain
from rediq_trio.cli.flags import common_flags
from rediq_trio.cli.screen import Screen, open_screen
from rediq_trio.settings import settle_settings
from rediq_trio.store.urls import default_url, scheme_of
from rediq_trio.values.bounds import check_name

LONG = 5_000
"""Tasks from which on a check shows how far it has come."""
ROUNDS = 3
"""How often repairs are planned anew: what one repairs may show another."""


def add_command(commands: Any) -> None:
    """Add `check` to the parser's commands."""
    parser = commands.add_parser(
        "check",
        help="check that every invariant of a queue holds",
        description="Check that every invariant holds that can be seen in a live queue, and repair "
        "what needs no guess. It reads in small steps, while workers work.",
    )
    parser.add_argument("queues", metavar="QUEUE", nargs="*", help="the queues to check")
    parser.add_argument("--all", action="store_true", help="check every queue that was ever used")
    common_flags(parser, "url", "key_prefix", "json")
    parser.add_argument("--repair", action="store_true", help="show what can be repaired, and ask")
    parser.add_argument("--yes", action="store_true", help="with --repair: do not ask")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Check, and return the exit status."""
    try:
        return trio.run(_Check(arguments, open_screen()).run)
    except (RediqError, ExceptionGroup) as raised:
        error = innermost(raised)
        if not isinstance(error, RediqError):
            raise
        print(f"rediq: {explain(error)}", file=sys.stderr)
        return 2


class _Check:
    def __init__(self, arguments: argparse.Namespace, screen: Screen) -> None:
        self._names: Sequence[str] = arguments.queues
        self._all: bool = arguments.all
        self._json: bool = arguments.json
        self._repair: bool = arguments.repair
        self._yes: bool = arguments.yes
        self._url: str = arguments.url or default_url()
        given = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
        self._prefix = settle_settings(given).key_prefix
        self._screen = screen
        if bool(self._names) == self._all:
            raise ConfigError("check: name queues, or give --all for every one, and not both")
        for name in self._names:
            check_name("QUEUE", name)
        if self._yes and not self._repair:
            raise ConfigError("check: --yes says yes to what --repair asks, and needs it")
        if scheme_of(self._url) == "memory":
            raise ConfigError.of(
                "url", self._url, "that of a server: memory:// lives in one process"
            )

    async def run(self) -> int:
        findings: list[Finding] = []
        async with rediq.connect(self._url, key_prefix=self._prefix) as client:
            for name in await self._known(client):
                findings.append(await self._one(client.queue(name)))
        if self._json:
            print(to_json(findings))
        elif not findings:
            self._screen.say("no queue was ever used here")
        return 0 if all(finding.sound for finding in findings) else 1

    async def _known(self, client: rediq.Client) -> Sequence[str]:
        known = await client.queues()
        if self._all:
            return known
        for name in self._names:
            if name not in known and not (await client.queue(name).stats()).enqueued:
                raise ConfigError.of(
                    "QUEUE", name, "a queue that was ever used; --all checks those"
                )
        return list(dict.fromkeys(self._names))

    async def _one(self, queue: Queue) -> Finding:
        found = await self._check(queue)
        plan = await queue.repair_plan(found) if found else []
        finding = Finding(queue.name, found, plan)
        if not self._json:
            show_violations(self._screen, finding)
        if not found or not self._repair:
            if found and not self._json:
                self._screen.say(f"  {len(plan):,} can be repaired without guessing: see --repair")
            return finding
        if not self._json:
            show_plan(self._screen, finding)
        if not plan or not await self._agreed(len(plan)):
            return finding
        return await self._make_repairs(queue, finding)

    async def _make_repairs(self, queue: Queue, finding: Finding) -> Finding:
        made, left, plan = await queue.repair(finding.plan), finding.violations, finding.plan
        for _ in range(ROUNDS):
            left = await self._check(queue)
            plan = await queue.repair_plan(left) if left else []
            more = await queue.repair(plan) if plan else []
            made += more
            if not more:
                break
        else:
            left = await self._check(queue)
        finding = attrs.evolve(finding, made=made, left=left)
        if not self._json:
            self._screen.say(f"{queue.name}: {len(made):,} repairs made; checked again:")
            show_violations(self._screen, finding)
            show_advice(self._screen, left)
        return finding

    async def _check(self, queue: Queue) -> list[rediq.Violation]:
        stats = await queue.stats()
        total = sum(getattr(stats, state.value) for state in rediq.State)
        if self._json or total < LONG:
            return await queue.check()
        with self._screen.bars({queue.name: total}) as bars:
            show = bars[queue.name]
            return await queue.check(progress=lambda done, _: show(min(done, total)))

    async def _agreed(self, count: int) -> bool:
        if self._yes:
            return True
        if self._json or not sys.stdin.isatty():
            if not self._json:
                self._screen.say("nothing was changed: --yes makes these repairs")
            return False
        ask = f"Make {count:,} {'repair' if count == 1 else 'repairs'}? [y/N] "
        answer = await trio.to_thread.run_sync(input, ask, abandon_on_cancel=True)
        if answer.strip().lower() in ("y", "yes"):
            return True
        self._screen.say("nothing was changed")
        return False
