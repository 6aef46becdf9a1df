"""Calls: commands with the tasks that wait for their replies, and how several are merged into one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import attrs
import outcome
import trio

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.scripts import Script

MERGED_ITEMS_MAX = 256
"""Items of one merged call, at most."""
MERGED_BYTES_MAX = 256 * 1024
"""Bytes of one merged call, at most and about."""


@attrs.define(eq=False)
class MergeInfo:
    """How a call of a script is merged with others.

    The script must handle each of its items in the same way and return one entry for each. Redis
    then loads the script, and the names of its keys, once for all merged calls.
    """

    key: Hashable
    """Equal for calls that differ in their items only."""
    head: int
    """Arguments of the command before the first item."""
    items: int
    size: int
    """Bytes of the items, about."""


@attrs.define(eq=False)
class PendingCall:
    """A command without a reply yet, and the task that waits for it."""

    command: tuple[Any, ...]
    script: Script | None
    key: bytes
    """The key that determines the node of a Cluster."""
    confirm: Confirm
    created_at: float
    waiter: trio.lowlevel.Task | None
    merge: MergeInfo | None = None
    redirects: int = 0
    asking: bool = False
    """Whether `ASKING` must precede the command: its slot is moving to the node."""

    def answer(self, result: Any) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Value(result))
            self.waiter = None

    def refuse(self, error: BaseException) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Error(error))
            self.waiter = None

    def refuse_unconfirmed(self, missing: str, result: Any) -> None:
        """Raise `Unconfirmed` in the caller: the write was answered, but not confirmed."""
        self.refuse(Unconfirmed(missing, answer=result))

    @property
    def is_awaited(self) -> bool:
        return self.waiter is not None


@attrs.define(eq=False)
class MergedCall(PendingCall):
    """Several calls that are sent as one."""

    calls: list[PendingCall] = attrs.field(factory=list)

    @classmethod
    def of(cls, calls: list[PendingCall]) -> MergedCall:
        first = calls[0]
        merge = first.merge
        assert merge is not None
        command = list(first.command)
        for call in calls[1:]:
            command += call.command[merge.head :]
        return cls(
            tuple(command), first.script, first.key, first.confirm, first.created_at, None,
            calls=calls,
        )  # fmt: skip

    def _split(self, result: Any) -> Iterator[tuple[PendingCall, Any]]:
        at = 0
        for call in self.calls:
            assert call.merge is not None
            yield call, result[at : at + call.merge.items]
            at += call.merge.items

    def answer(self, result: Any) -> None:
        for call, part in self._split(result):
            call.answer(part)

    def refuse(self, error: BaseException) -> None:
        for call in self.calls:
            call.refuse(error)

    def refuse_unconfirmed(self, missing: str, result: Any) -> None:
        for call, part in self._split(result):
            call.refuse_unconfirmed(missing, part)

    @property
    def is_awaited(self) -> bool:
        return any(call.is_awaited for call in self.calls)


class PipelineBuilder:
    """Collects the calls of a round trip, and merges those that can be merged."""

    def __init__(self) -> None:
        self._groups: list[list[PendingCall]] = []
        self._open: dict[Hashable, tuple[list[PendingCall], int, int]] = {}

    def add(self, call: PendingCall) -> None:
        merge = call.merge
        if merge is None or call.asking:
            # `ASKING` holds for one command only.
            self._groups.append([call])
            return
        nothing: tuple[list[PendingCall], int, int] = ([], 0, 0)
        group, items, size = self._open.get(merge.key, nothing)
        items, size = items + merge.items, size + merge.size
        if not group or items > MERGED_ITEMS_MAX or size > MERGED_BYTES_MAX:
            group, items, size = list[PendingCall](), merge.items, merge.size
            self._groups.append(group)
        group.append(call)
        self._open[merge.key] = group, items, size

    def build(self) -> list[PendingCall]:
        return [group[0] if len(group) == 1 else MergedCall.of(group) for group in self._groups]
