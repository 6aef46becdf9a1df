"""What has failed, by kind, over all queues."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct, Orders, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago, number
from rediq_trio.dash.pages.selected import ask_selected, options
from rediq_trio.dash.pages.tasks import TasksPage
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, line
from rediq_trio.observe.recent import NEW
from rediq_trio.observe.words import counted, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.chance import utc_now
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.failure_kind import FailureKind

KINDS_LISTED = 500


class FailuresPage(ScreenPage):
    """Kinds of failure, the newest first."""

    name = "Failures"
    least_below = 7
    counts_reads = True
    columns = (
        Column("KIND", 20), Column("", 3), Column("TYPE", 18), Column("QUEUE"),
        Column("WHERE", 26, since=110), Column("COUNT", 7, right=True, counts=True),
        Column("LAST", 10, right=True), Column("FIRST", 10, right=True, since=90),
    )  # fmt: skip
    sorts = ("last seen", "first seen", "count")

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, tuple[str, FailureKind]] = {}

    async def read(self, client: Client, hide: Hiding) -> None:
        names = await client.queues()
        found, _ = await try_each(names, lambda name: client.queue(name).failures())
        self.kinds = {
            f"{name}/{kind.kind}": (name, hidden_kind(kind, hide))
            for name, some in found.items()
            for kind in some
        }

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        if not self.kinds:
            return [line(" Nothing has failed." if self.was_shown else " reading"), line()]
        new = [kind for _, kind in self.kinds.values() if utc_now() - kind.first_seen < NEW]
        text = f" {counted(len(self.kinds), 'kind')} of failure"
        is_new = f", {len(new)} new within the hour." if new else "."
        return [line(f"{text}{is_new}"), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        orders: Orders[FailureKind] = (
            lambda kind: -kind.last_seen.timestamp(),
            lambda kind: -kind.first_seen.timestamp(),
            lambda kind: -kind.count,
        )  # fmt: skip
        found = sorted(self.kinds.items(), key=lambda one: orders[self.sort](one[1][1]))
        return [_row(key, name, kind) for key, (name, kind) in found[:KINDS_LISTED]]

    def _here(self, seen: Seen) -> tuple[str, FailureKind] | None:
        return self.kinds.get(self.here(self.shown_rows(seen)))

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        if (found := self._here(seen)) is None:
            return []
        _, kind = found
        first, last = ago(kind.first_seen), ago(kind.last_seen)
        said = kind.unreadable or kind.message or "no message"
        texts = [
            TextSpan(f" {kind.error_type or 'no exception'}: {said}", "strong"),
            TextSpan(f"   {kind.place or 'no frame of your code'}", "second"), TextSpan(""),
            TextSpan(f"   kind {kind.kind}, first {first} ago, last {last} ago", "second"),
            *(TextSpan(f"   {task_id}", "faint") for task_id in kind.task_ids),
        ]  # fmt: skip
        return [line(), *((text,) for text in texts)][:room]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return (
            KeyAct("r", "retry dead", lambda now: self._change(now, "retry")),
            KeyAct("l", "list", self._list, changes=False),
            KeyAct("D", "delete dead", lambda now: self._change(now, "delete")),
        )

    def _change(self, seen: Seen, verb: str) -> None:
        if (found := self._here(seen)) is not None:
            name, kind = found
            which = f"Kind {shown(kind.error_type or kind.kind, 30)} in {shown(name)}"
            seen.start(ask_selected(seen, verb, name, State.DEAD, options(kind=kind.kind), which))

    def _list(self, seen: Seen) -> ScreenPage | None:
        if (found := self._here(seen)) is None:
            return None
        return TasksPage(found[0], State.DEAD, f"kind:{found[1].kind}")

    def enter(self, seen: Seen) -> ScreenPage | None:
        return self._list(seen)

    def id_here(self, seen: Seen) -> str | None:
        found = self._here(seen)
        return None if found is None else found[1].kind


def hidden_kind(kind: FailureKind, hide: Hiding) -> FailureKind:
    """Return what may be shown of a kind."""
    message = None if kind.message is None else str(hide(kind.message, "error"))
    return attrs.evolve(kind, message=message)


def _row(key: str, name: str, kind: FailureKind) -> TableRow:
    new = "NEW" if utc_now() - kind.first_seen < NEW else ""
    return TableRow(
        key,
        (
            TextSpan(kind.error_type or kind.message or kind.kind, "dead"),
            TextSpan(new, "warning"), TextSpan(kind.type or "-"),
            TextSpan(name, "second"), TextSpan(kind.place or "no frame", "second"), number(kind.count),
            TextSpan(ago(kind.last_seen)), TextSpan(ago(kind.first_seen), "second"),
        ),
    )  # fmt: skip
