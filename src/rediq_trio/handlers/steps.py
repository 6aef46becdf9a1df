"""What is kept with a task between its attempts: results of its steps and of its dependencies."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, cast

import trio

from rediq_trio._errors import PayloadError, StaleLease
from rediq_trio.handlers.results import ResultPacker
from rediq_trio.handlers.running_attempt import RunningAttempt
from rediq_trio.spec.carried import Kept
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.wire.envelope import unpack_value
from rediq_trio.wire.packing import UNPACK_ERRORS, unpack
from rediq_trio.wire.structuring import NO_CONVERTERS, Conversions, make_structurer


class Steps:
    """The steps of one task, as one attempt sees them."""

    def __init__(
        self,
        store: Store,
        attempt: RunningAttempt,
        results: ResultPacker | None = None,
        conversions: Conversions = NO_CONVERTERS,
    ) -> None:
        self._store = store
        self._conversions = conversions
        self._results = ResultPacker() if results is None else results
        self._attempt = attempt
        self._known: dict[str, bytes] | None = None
        self._loading = trio.Lock()
        # When one step is called twice at a time, the second call waits for the first's result.
        self._locks: dict[str, trio.Lock] = {}

    async def once(self, step: str, function: Callable[..., Any], *args: Any) -> Any:
        async with self._locks.setdefault(step, trio.Lock()):
            known = await self._load()
            if step not in known:
                returned = function(*args)
                value = await returned if inspect.isawaitable(returned) else returned
                known[step] = await self._keep(step, await self._pack(value))
            structure = make_structurer(
                _returned_by(function), f"result of step {step!r}: ", self._conversions
            )
            found = unpack_value(known[step])
            return found if structure is None else structure(found)

    async def _pack(self, value: Any) -> bytes:
        if self._results.is_small(value):
            return self._results.pack(value, self._conversions)
        return await self._results.pack_large(value, self._conversions)

    async def _load(self) -> dict[str, bytes]:
        # One load at a time: a second one would discard what was kept after the first.
        async with self._loading:
            if self._known is None:
                # A task that is delivered for the first time has no steps yet.
                record = await self._record() if self._attempt.fence.deliveries > 1 else None
                self._known = read_steps(record.steps) if record is not None else {}
            return self._known

    async def _record(self) -> Record | None:
        (record,) = await until_answered(
            lambda: self._store.get(self._attempt.queue, (self._attempt.fence.id,))
        )
        return record

    async def _keep(self, step: str, packed: bytes) -> bytes:
        # Ends when it is kept, or when the attempt is cancelled because its lease is over.
        kept = await until_answered(
            lambda: self._store.remember(self._attempt.queue, self._attempt.fence, (step, packed))
        )
        if not kept:
            raise StaleLease(
                f"step {step!r} of {self._attempt.task_id}: its lease is over, the result is not kept"
            )
        return packed


_AWAITED = (collections.abc.Awaitable, collections.abc.Coroutine)


def _returned_by(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = cast("functools.partial[Any]", function).func
    try:
        found = typing.get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):
        return None
    # A plain function that returns an awaitable: its result is the last type argument.
    return typing.get_args(found)[-1] if typing.get_origin(found) in _AWAITED else found


def read_steps(steps: Sequence[Kept]) -> dict[str, bytes]:
    """Return the results of steps, packed, by their names; of two of one name the first.

    Raises `PayloadError` when one cannot be decoded.
    """
    _unpack_all(steps, "the kept steps")
    return dict(reversed(steps))


def read_inputs(queue: str, inputs: Sequence[Kept]) -> dict[str, Any]:
    """Unpack the results that a task received, by the ids of the tasks that returned them.

    Raises `PayloadError` when they cannot be decoded.
    """
    results = _unpack_all(inputs, "the results of other tasks")
    return {ref if "/" in ref else f"{queue}/{ref}": result for ref, result in results.items()}


def _unpack_all(kept: Sequence[Kept], what: str) -> dict[str, Any]:
    try:
        return {name: unpack(packed) for name, packed in kept}
    except UNPACK_ERRORS as error:
        raise PayloadError(f"{what} cannot be decoded: {error}") from error
