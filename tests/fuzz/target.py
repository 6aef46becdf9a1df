"""What fuzzers call: everything that reads bytes which anybody may have written."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import attrs

import rediq_trio as rediq
from rediq_trio._errors import ConfigError, PayloadError, UnknownTaskType
from rediq_trio.handlers.steps import read_inputs, read_steps
from rediq_trio.spec.carried import Kept
from rediq_trio.spec.messages import Fence, Lease
from rediq_trio.spec.records import Record
from rediq_trio.store.encrypted.keys import Encryption
from rediq_trio.store.redis.codec import read_schedule
from rediq_trio.tasks.task_info import make_task_info, read_progress
from rediq_trio.wire.batch_envelope import is_batch, open_batch, open_member
from rediq_trio.wire.envelope import open_envelope, pack_value, unpack_value
from rediq_trio.wire.packed_values import read_pairs
from rediq_trio.wire.structuring import make_structurer
from rediq_trio.worker.handler_call import open_call
from rediq_trio.worker.leases import HeldLease, LeaseTable

app = rediq.App()


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Tree:
    """Something that holds itself."""

    name: str
    children: list[Tree]


@app.task("any")
async def take_any(value: Any = None) -> Any: ...


@app.task("t")
async def take_more(**more: Any) -> Any: ...


@app.task("typed")
async def take_typed(
    when: dt.datetime, ids: list[uuid.UUID], amount: Decimal, point: Tree
) -> None: ...


@app.aggregator("g")
async def put_together(tasks: list[rediq.Task[Any]]) -> None: ...


_STRUCTURED = tuple(
    make_structurer(kind)
    for kind in (
        dt.datetime,
        dt.timedelta,
        uuid.UUID,
        Decimal,
        Tree,
        Colour,
        set[int],
        tuple[int, str],
    )
)
_KEYS = Encryption([b"k" * 32])


def try_everything(data: bytes) -> None:
    """Read bytes in every way; raise nothing but what a worker makes a reason of."""
    for read in (
        _job, open_envelope, unpack_value, _opened_batch,
        lambda d: read_inputs("q", _kept(d)), lambda d: read_steps(_kept(d)), lambda d: _KEYS.decrypt(d, "a"),
    ):  # fmt: skip
        try:
            read(data)
        except (PayloadError, UnknownTaskType, ConfigError):
            pass
    read_progress(data)
    read_schedule("s", data, 0)
    make_task_info("q", record_with(data))
    _structured(data)


def _job(data: bytes) -> None:
    open_call(app, held_with(data), 1024 * 1024)


def held_with(envelope: bytes) -> HeldLease:
    """Give a lease in hand for such an envelope."""
    return HeldLease(
        "q", Lease(Fence("a", 1, b"n"), 1, 3, envelope, 0), 0.0, 0.0, ("q", "a"), LeaseTable()
    )


def record_with(data: bytes) -> Record:
    """Give a completed task's record whose parts are such bytes."""
    return Record(
        "a", data, rediq.State.COMPLETED, 50, 3, 3, 1000, 1, 1, result=data, progress=data
    )


def _kept(data: bytes) -> list[Kept]:
    return [(name.decode("utf-8", "replace"), value) for name, value in read_pairs(data)]


def _opened_batch(data: bytes) -> None:
    if is_batch(data):
        for member in open_batch(data).members:
            open_member(member)


def _structured(data: bytes) -> None:
    try:
        value = unpack_value(data)
    except PayloadError:
        return
    assert unpack_value(pack_value(value)) == value or value != value or "nan" in repr(value)
    for structure in _STRUCTURED:
        assert structure is not None
        try:
            structure(value)
        except PayloadError:
            pass
