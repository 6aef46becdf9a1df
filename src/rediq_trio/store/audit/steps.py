"""A change that is made step by step is two entries of the audit: when it begins, and when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, TypeVar

from rediq_trio._errors import NotAudited
from rediq_trio.store.audit.acting import acting_in
from rediq_trio.store.audit.audited import auditing
from rediq_trio.store.port import Store

BEGUN = "begun"
"""What the first entry of such a change says of it."""


class Counted(Protocol):
    """How far a change of many is."""

    @property
    def done(self) -> int: ...
    @property
    def refused(self) -> int: ...


S = TypeVar("S", bound=Counted)


def audited_steps(
    store: Store, what: str, selection: Mapping[str, str], steps: AsyncIterator[S]
) -> AsyncIterator[S]:
    """Return the iterator, with an entry before its first step and one at its end, if a person acts.

    One that is left early has only the first, which is read as `begun`; a step that raises has an entry
    that says so.
    """
    return steps if acting_in(store) is None else _AuditedSteps(store, what, selection, steps)


class _AuditedSteps(AsyncIterator[S]):
    # Not a generator, which would need closing when left early.

    def __init__(
        self, store: Store, what: str, selection: Mapping[str, str], steps: AsyncIterator[S]
    ) -> None:
        self._store, self._what, self._selection = store, what, selection
        self._steps = steps
        self._last: S | None = None
        self._begun = self._ended = False

    async def __anext__(self) -> S:
        if not self._begun:
            await self._begin()
            self._begun = True
        step: S | None = None
        try:
            step = self._last = await anext(self._steps)
        except StopAsyncIteration:
            pass
        except BaseException as error:
            await self._end(error)
        if step is None:
            await self._end()
            raise StopAsyncIteration
        return step

    async def _begin(self) -> None:
        try:
            async with auditing(self._store, self._what, self._selection) as deed:
                deed.detail = BEGUN
        except NotAudited as lost:
            # Nothing is done yet: whoever reads that something was would not do it again.
            raise (lost.__cause__ or lost) from None

    async def _end(self, error: BaseException | None = None) -> None:
        if self._ended and error is None:
            return
        self._ended = True
        async with auditing(self._store, self._what, self._selection) as deed:
            if self._last is not None:
                deed.count = self._last.done
                if self._last.refused:
                    deed.detail = f"{self._last.refused:,} refused"
            if error is not None:
                raise error
