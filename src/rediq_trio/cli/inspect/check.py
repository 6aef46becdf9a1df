"""`rediq check`: check that every invariant holds, and repair what needs no guess."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import attrs

import rediq_trio as rediq
from rediq_trio._errors import ConfigError, ConnectionLost
from rediq_trio.admin.queue import Queue
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.inspect.check_report import (
    Finding,
    as_document,
    show_advice,
    show_plan,
    show_violations,
)
from rediq_trio.cli.operate.session import Session, operating_flags
from rediq_trio.cli.operate.stdin import answer_to, is_asked
from rediq_trio.cli.screen import open_screen
from rediq_trio.cli.statuses import DONE, FAILED
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
    parser.add_argument("--repair", action="store_true", help="show what can be repaired, and ask")
    operating_flags(parser, check, destroys=True)
    return parser


async def check(session: Session) -> int:
    """Check queues; return 1 if an invariant does not hold."""
    options = session.arguments
    if bool(options.queues) == options.all:
        raise ConfigError("check: name queues, or give --all for every one, and not both")
    for name in options.queues:
        check_name("QUEUE", name)
    if (options.yes or options.dry_run) and not options.repair:
        raise ConfigError("check: --yes and --dry-run are about what --repair asks, and need it")
    return await _Check(session).run()


class _Check:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._options = session.arguments
        color = not self._options.no_color
        self._screen = open_screen(quiet=self._options.json, color=color)

    async def run(self) -> int:
        findings: list[Finding] = []
        failures: dict[str, ConnectionLost] = {}
        names = await self._known()
        for name in names:
            try:
                findings.append(await self._one(self._session.client.queue(name)))
            except ConnectionLost as lost:
                failures[name] = lost  # the other queues are checked all the same
        self._session.out.object(as_document(findings))
        if not names:
            self._screen.say("no queue was ever used here")
        if failures:
            raise first_failure(names, failures)
        return DONE if all(finding.sound for finding in findings) else FAILED

    async def _known(self) -> Sequence[str]:
        client = self._session.client
        known = await client.queues()
        if self._options.all:
            return known
        for name in self._options.queues:
            # One whose name was lost from the set of all queues can still be checked.
            if name not in known and not (await client.queue(name).stats()).enqueued:
                await self._session.known(name)
        return list(dict.fromkeys(self._options.queues))

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
        if self._options.yes and not self._options.dry_run:
            return True
        if self._options.dry_run or self._options.json or not is_asked():
            self._screen.say("nothing was changed: --yes makes these repairs")
            return False
        ask = f"Make {count:,} {'repair' if count == 1 else 'repairs'}? [y/N] "
        if (await answer_to(ask)).lower() in ("y", "yes"):
            return True
        self._screen.say("nothing was changed")
        return False
