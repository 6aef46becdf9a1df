"""The keeper's part in groups: their rules from the app, and batches of those that are due.

A group comes to be with its first member, whose producer knows no rule. A signal
names each new group, so its rule is given at once, whatever the number of others;
what a lost signal left is found by a look at all of them, now and then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import trio

from rediq_trio.spec.groups import Group, matching
from rediq_trio.spec.records import Due, GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.tasks.ids import new_id

AT_ONCE = 5
"""Batches that one step makes at most: each may be large, and Redis waits for it."""
PAGE = 500
LOOK_EVERY = 10.0
"""Seconds between two looks at all groups, at least; below the longest sleep of the keeper."""


@attrs.define(eq=False)
class Batcher:
    """The groups of one queue, as its keeper sees them."""

    store: Store
    queue: str
    rules: Mapping[str, GroupRule]
    """For each group, or prefix of groups, that has an aggregator."""
    _heard: set[str] = attrs.field(factory=set)
    """Groups that are new, or due sooner than was known."""
    _look_at: float = 0.0
    """On Trio's clock."""

    def heed(self, signal: Signal) -> None:
        """Take note of what a signal says of groups."""
        if signal.kind is SignalKind.GROUP and self.rules:
            self._heard.add(signal.id)
        elif signal.kind is SignalKind.RESYNC:
            self._look_at = 0.0

    async def step(self) -> Due:
        """Give groups their rules, and make batches of some that are due."""
        if self.rules:
            await self._govern()
        return await self.store.batch(self.queue, ids=[new_id() for _ in range(AT_ONCE)])

    async def _govern(self) -> None:
        if self._look_at <= trio.current_time():
            found = await self._all()
            # Those heard of are among them, or will be heard of again.
            await self._give(g.name for g in found if g.rule != self._rule(g.name))
            self._look_at = trio.current_time() + LOOK_EVERY
        heard = self._heard.copy()
        await self._give(heard)
        self._heard -= heard

    async def _all(self) -> list[Group]:
        found: list[Group] = []
        while True:
            page = await self.store.groups(self.queue, limit=PAGE, start=len(found))
            found += page
            if len(page) < PAGE:
                return found

    async def _give(self, names: Iterable[str]) -> None:
        wanted = [(name, rule) for name in names if (rule := self._rule(name)) is not None]
        for start in range(0, len(wanted), PAGE):
            await self.store.set_group_rules(self.queue, rules=dict(wanted[start : start + PAGE]))

    def _rule(self, group: str) -> GroupRule | None:
        name = matching(self.rules, group)
        return None if name is None else self.rules[name]
