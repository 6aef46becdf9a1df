"""What is kept with a task between its attempts: results of its steps, and of tasks before it."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import random
import typing
from collections.abc import Callable
from typing import Any, cast

import trio

from rediq_trio._errors import ConnectionLost, PayloadError, StaleLease
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.wire.envelope import pack_value, unpack_value
from rediq_trio.wire.packed_values import part_inputs
from rediq_trio.wire.packing import UNREADABLE, unpack, unpack_all
from rediq_trio.wire.structuring import plain, structurer


class Steps:
    """The steps of one task, as one attempt sees them."""

    def __init__(self, store: Store, held: Any) -> None:
        self._store = store
        self._held = held
        self._known: dict[str, bytes] | None = None
        self._loading = trio.Lock()
        # Two calls of one step at a time: the second waits for the first's result.
        self._locks: dict[str, trio.Lock] = {}

    async def once(self, step: str, function: Callable[..., Any], *args: Any) -> Any:
        async with self._locks.setdefault(step, trio.Lock()):
            known = await self._load()
            if step not in known:
                made = function(*args)
                value = await made if inspect.isawaitable(made) else made
                known[step] = await self._keep(step, pack_value(plain(value), what="result"))
            structure = structurer(_returned_by(function))
            found = unpack_value(known[step])
            return found if structure is None else structure(found)

    async def _load(self) -> dict[str, bytes]:
        # One at a time: a second load would hide what was kept since the first.
        async with self._loading:
            if self._known is None:
                # A task that was never delivered before can have done no step.
                record = await self._record() if self._held.fence.deliveries > 1 else None
                found = _read_pairs(record.steps) if record is not None else []
                self._known = {name: pack_value(value) for name, value in reversed(found)}
            return self._known

    async def _record(self) -> Record | None:
        while True:
            try:
                return (await self._store.get(self._held.queue, (self._held.fence.id,)))[0]
            except ConnectionLost:
                await trio.sleep(random.uniform(0.1, 0.5))

    async def _keep(self, step: str, packed: bytes) -> bytes:
        entry = pack_value(step) + packed
        while True:
            # Until it is kept, or the attempt is cancelled because its lease is over.
            try:
                kept = await self._store.remember(self._held.queue, self._held.fence, entry)
            except ConnectionLost:
                await trio.sleep(random.uniform(0.1, 0.5))
                continue
            if not kept:
                raise StaleLease(
                    f"step {step!r} of {self._held.name}: its lease is over, the result is not kept"
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
    # Of a plain function that gives what is to be awaited, that is the last argument.
    return typing.get_args(found)[-1] if typing.get_origin(found) in _AWAITED else found


def _read_pairs(packed: bytes) -> list[tuple[str, Any]]:
    try:
        values = unpack_all(packed)
    except UNREADABLE as error:
        raise PayloadError(f"the kept steps cannot be decoded: {error}") from error
    if len(values) % 2:
        raise PayloadError("the kept steps cannot be decoded: a result is missing")
    return list(zip(values[::2], values[1::2], strict=True))


def read_inputs(queue: str, packed: bytes) -> dict[str, Any]:
    """Read the results that came to a task of a queue: by the ids of the tasks that gave them.

    Raises `PayloadError` when they cannot be decoded.
    """
    try:
        return {name: unpack(value) for name, value in part_inputs(queue, packed)}
    except UNREADABLE as error:
        raise PayloadError(f"the results of other tasks cannot be decoded: {error}") from error
