"""The batcher: sets the rules of groups, and makes batches of the groups that are due.

A group begins with its first member, whose producer does not know the group's rule. A
signal names each new group, so its rule is set at once, however many groups there are. A
scan of all groups, now and then, finds those whose signal was lost. The step that makes
batches carries the rules too, so a group never becomes a batch by another rule in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs
import trio

from rediq_trio.spec.groups import Group, matching
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.tasks.ids import new_id

BATCHES_PER_STEP = 5
"""Maximum number of batches that one step makes: each may be large and keeps Redis busy."""
GROUPS_PER_PAGE = 500
GROUP_SCAN_INTERVAL = 10.0
"""Minimum seconds between two scans of all groups; below the keeper's maximum sleep."""


@attrs.define(eq=False)
class Batcher:
    """The batcher of one queue."""

    store: Store
    queue: str
    rules: Mapping[str, GroupRule]
    """The rule of each group, or prefix of groups, that has an aggregator."""
    _signalled: set[str] = attrs.field(factory=set)
    """Groups that a signal named as new or due sooner."""
    _scan_at: float = 0.0
    """When all groups are scanned next, on Trio's clock."""

    def handle_signal(self, signal: Signal) -> None:
        """Handle a signal that concerns groups."""
        if signal.kind is SignalKind.GROUP and self.rules:
            self._signalled.add(signal.id)
        elif signal.kind is SignalKind.RESYNC:
            self._scan_at = 0.0

    async def step(self) -> Due:
        """Set the rules of groups, and make batches of some that are due."""
        if self.rules:
            await self._apply_rules()
        ids = [new_id() for _ in range(BATCHES_PER_STEP)]
        return await self.store.batch(self.queue, ids=ids, rules=self.rules)

    async def _apply_rules(self) -> None:
        if self._scan_at <= trio.current_time():
            found = await self._all_groups()
            # Groups named by signals are among them, or will be signalled again.
            await self._set_rules(g.name for g in found if g.rule != self._rule(g.name))
            self._scan_at = trio.current_time() + GROUP_SCAN_INTERVAL
        signalled = self._signalled.copy()
        await self._set_rules(sorted(signalled))
        self._signalled -= signalled

    async def _all_groups(self) -> list[Group]:
        found: list[Group] = []
        while True:
            page = await self.store.groups(self.queue, limit=GROUPS_PER_PAGE, start=len(found))
            found += page
            if len(page) < GROUPS_PER_PAGE:
                return found

    async def _set_rules(self, names: Iterable[str]) -> None:
        wanted = [(name, rule) for name in names if (rule := self._rule(name)) is not None]
        for start in range(0, len(wanted), GROUPS_PER_PAGE):
            await self.store.set_group_rules(
                self.queue, rules=dict(wanted[start : start + GROUPS_PER_PAGE])
            )

    def _rule(self, group: str) -> GroupRule | None:
        name = matching(self.rules, group)
        return None if name is None else self.rules[name]
