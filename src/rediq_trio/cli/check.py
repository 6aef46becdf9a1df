"""`rediq check`: check that every invariant holds, and repair what needs no guess.

Exit status: 0 all hold, 1 some do not, 2 it could not be checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import attrs
import trio

import rediq_trio as rediq
from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio.admin.queue import Queue
from rediq_trio.cli.check_report import Finding, show_advice, show_plan, show_violations, to_json
from rediq_trio.cli.flags import AddParser, common_flags
from rediq_trio.cli.screen import open_screen
from rediq_trio.settings import settle_settings
from rediq_trio.store.urls import default_url, scheme_of
from rediq_trio.tasks.for_each import first_failure
from rediq_trio.values.bounds import check_name

LONG = 5_000
"""Tasks from which on a check shows how far it has come."""
ROUNDS = 3
"""How often repairs are planned anew: what one repairs may show another."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Check that every invariant holds that can be seen in a live queue, and repair "
        "what needs no guess. It reads in small steps, while workers work.",
    )
    parser.add_argument("queues", metavar="QUEUE", nargs="*", help="the queues to check")
    parser.add_argument("--all", action="store_true", help="check every queue that was ever used")
    common_flags(parser, "url", "key_prefix", "json")
    parser.add_argument("--repair", action="store_true", help="show what can be repaired, and ask")
    parser.add_argument("--yes", action="store_true", help="with --repair: do not ask")
    parser.set_defaults(execute=execute)
    return parser


def execute(arguments: argparse.Namespace) -> int:
    return trio.run(_Check(arguments).run)


class _Check:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._options = arguments
        self._names: Sequence[str] = arguments.queues
        self._url: str = arguments.url or default_url()
        given = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
        self._prefix = settle_settings(given).key_prefix
        self._screen = open_screen(quiet=arguments.json)
        if bool(self._names) == arguments.all:
            raise ConfigError("check: name queues, or give --all for every one, and not both")
        for name in self._names:
            check_name("QUEUE", name)
        if arguments.yes and not arguments.repair:
            raise ConfigError("check: --yes says yes to what --repair asks, and needs it")
        if scheme_of(self._url) == "memory":
            bound = "that of a server: memory:// lives in one process"
            raise ConfigError.of("url", self._url, bound)

    async def run(self) -> int:
        findings: list[Finding] = []
        failures: dict[str, ConnectionLost] = {}
        async with rediq.connect(self._url, key_prefix=self._prefix) as client:
            names = await self._known(client)
            for name in names:
                try:
                    findings.append(await self._one(client.queue(name)))
                except ConnectionLost as lost:
                    failures[name] = lost  # the other queues are checked all the same
        if self._options.json:
            print(to_json(findings))
        elif not names:
            self._screen.say("no queue was ever used here")
        if failures:
            raise first_failure(names, failures)
        return 0 if all(finding.sound for finding in findings) else 1

    async def _known(self, client: rediq.Client) -> Sequence[str]:
        known = await client.queues()
        if self._options.all:
            return known
        for name in self._names:
            if name not in known and not (await client.queue(name).stats()).enqueued:
                bound = "a queue that was ever used; --all checks those"
                raise ConfigError.of("QUEUE", name, bound)
        return list(dict.fromkeys(self._names))

    async def _one(self, queue: Queue) -> Finding:
        found = await self._check(queue)
        plan = await queue.repair_plan(found)
        finding = Finding(queue.name, found, plan)
        show_violations(self._screen, finding)
        if not found:
            return finding
        if not self._options.repair:
            self._screen.say(f"  {len(plan):,} can be repaired without guessing: see --repair")
            return finding
        show_plan(self._screen, finding)
        if not plan or not await self._agreed(len(plan)):
            return finding
        return await self._make_repairs(queue, finding)

    async def _make_repairs(self, queue: Queue, finding: Finding) -> Finding:
        made = await queue.repair(finding.plan)
        left = await self._check(queue)
        for _ in range(ROUNDS):
            more = await queue.repair(await queue.repair_plan(left))
            if not more:
                break
            made += more
            left = await self._check(queue)
        finding = attrs.evolve(finding, made=made, left=left)
        self._screen.say(f"{queue.name}: {len(made):,} repairs made; checked again:")
        show_violations(self._screen, finding)
        show_advice(self._screen, left)
        return finding

    async def _check(self, queue: Queue) -> list[rediq.Violation]:
        stats = await queue.stats()
        total = sum(getattr(stats, state.value) for state in rediq.State)
        if total < LONG:
            return await queue.check()
        with self._screen.bars({queue.name: total}) as bars:
            show = bars[queue.name]
            return await queue.check(progress=lambda done, _: show(min(done, total)))

    async def _agreed(self, count: int) -> bool:
        if self._options.yes:
            return True
        if self._options.json or not sys.stdin.isatty():
            self._screen.say("nothing was changed: --yes makes these repairs")
            return False
        ask = f"Make {count:,} {'repair' if count == 1 else 'repairs'}? [y/N] "
        answer = await trio.to_thread.run_sync(input, ask, abandon_on_cancel=True)
        if answer.strip().lower() in ("y", "yes"):
            return True
        self._screen.say("nothing was changed")
        return False
