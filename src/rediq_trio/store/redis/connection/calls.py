"""Calls: commands on their way, each with who waits for its reply, and several sent as one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import attrs
import outcome
import trio

from rediq_trio._errors import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.scripts import Script

JOINED = 256
"""Items that one call carries at most when several are sent as one."""
JOINED_BYTES = 256 * 1024


@attrs.define(eq=False)
class Joint:
    """Where a script does the same to each of its items, and answers with one entry for each:
    calls that wait together are sent as one. Redis then looks at the script, and at the names
    of its keys, once for all of them."""

    key: Hashable
    """The same for calls that differ in their items only."""
    head: int
    """Parts of the command before the first item."""
    items: int
    size: int
    """Bytes, roughly."""


@attrs.define(eq=False)
class Call:
    """A command on its way, and who waits for its reply."""

    command: tuple[Any, ...]
    script: Script | None
    key: bytes
    """What says where in a Cluster it goes."""
    confirm: Confirm
    born: float
    waiter: trio.lowlevel.Task | None
    joint: Joint | None = None
    hops: int = 0
    asking: bool = False
    """Whether a node is to take it although the slot is still another's."""

    def answer(self, result: Any) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Value(result))
            self.waiter = None

    def refuse(self, error: BaseException) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Error(error))
            self.waiter = None

    def doubt(self, short: str, result: Any) -> None:
        """Refuse because what was answered is not confirmed."""
        self.refuse(Unconfirmed(short, answer=result))

    @property
    def is_awaited(self) -> bool:
        return self.waiter is not None


@attrs.define(eq=False)
class Joined(Call):
    """Several calls, sent as one."""

    parts: list[Call] = attrs.field(factory=list)

    @classmethod
    def of(cls, calls: list[Call]) -> Joined:
        first = calls[0]
        joint = first.joint
        assert joint is not None
        command = list(first.command)
        for call in calls[1:]:
            command += call.command[joint.head :]
        return cls(
            tuple(command), first.script, first.key, first.confirm, first.born, None, parts=calls
        )

    def _shares(self, result: Any) -> Iterator[tuple[Call, Any]]:
        at = 0
        for call in self.parts:
            assert call.joint is not None
            yield call, result[at : at + call.joint.items]
            at += call.joint.items

    def answer(self, result: Any) -> None:
        for call, share in self._shares(result):
            call.answer(share)

    def refuse(self, error: BaseException) -> None:
        for call in self.parts:
            call.refuse(error)

    def doubt(self, short: str, result: Any) -> None:
        for call, share in self._shares(result):
            call.doubt(short, share)

    @property
    def is_awaited(self) -> bool:
        return any(call.is_awaited for call in self.parts)


class Load:
    """The calls of a trip, those that can be joined in each other's company."""

    def __init__(self) -> None:
        self._groups: list[list[Call]] = []
        self._open: dict[Hashable, tuple[list[Call], int, int]] = {}

    def take(self, call: Call) -> None:
        joint = call.joint
        if joint is None or call.asking:
            # One that asks goes behind a command of its own.
            self._groups.append([call])
            return
        nothing: tuple[list[Call], int, int] = ([], 0, 0)
        group, items, size = self._open.get(joint.key, nothing)
        items, size = items + joint.items, size + joint.size
        if not group or items > JOINED or size > JOINED_BYTES:
            group, items, size = list[Call](), joint.items, joint.size
            self._groups.append(group)
        group.append(call)
        self._open[joint.key] = group, items, size

    def calls(self) -> list[Call]:
        return [group[0] if len(group) == 1 else Joined.of(group) for group in self._groups]
