from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest

from rediq_trio import RunningTask, TaskSignature, WorkerHealth, WorkerInfo
from rediq_trio.tasks.task_info import pack_worker_info, read_worker_info
from rediq_trio.tasks.worker_details import (
    HEALTH_REASON_MAX,
    HEALTH_REASONS_MAX,
    PARAMETERS_MAX,
    RUNNING_MAX,
    SIGNATURES_LENGTH_MAX,
    SIGNATURES_MAX,
)
from rediq_trio.wire.packing import pack, unpack

AT = dt.datetime(2026, 5, 4, 3, 2, 1, 500_000, dt.UTC)
PLAIN = WorkerInfo(
    id="w", host="h", pid=7, queues=("q",), concurrency=3, running=1, started_at=AT,
    last_heartbeat=AT, version="1", types=("a",), schedules=(),
)  # fmt: skip
TASK = RunningTask(id="q/t", type="a", attempt=2, since=AT, percent=12.5)
FULL = attrs.evolve(
    PLAIN, instance="w#1", state="quiet", type_count=1, running_tasks=(TASK,),
    health=WorkerHealth(alive=True, ready=False, reasons=("no",)), loop_delay=0.25, memory=10**8,
    settings={"lease": 30.0, "queues": ["q"]}, labels={"zone": "b"}, leases_lost=2, unconfirmed=3,
    signatures={"a": TaskSignature(required=("to",), optional=("n",), open=True)},
)  # fmt: skip


def test_all_details_are_read_as_they_were_written() -> None:
    assert read_worker_info(pack_worker_info(FULL)) == FULL
    assert read_worker_info(pack_worker_info(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance", 7), ("state", "asleep"), ("type_count", -1), ("tasks", 3), ("tasks", [[1]]),
        ("tasks", [["q/t", "a", 1, 1e300, None]]), ("health", [True]), ("loop_delay", "x"),
        ("memory", 1.5), ("settings", 1), ("labels", [1]), ("leases_lost", -1),
        ("unconfirmed", "many"), ("signatures", ["a"]), ("signatures", {"a": [1]}),
        ("signatures", {"a": [["x"], [7], False]}), ("from a later version", {"x": [1]}),
    ],
    ids=str,
)  # fmt: skip
def test_a_detail_of_another_kind_is_left_out_and_the_others_are_read(
    name: str, value: Any
) -> None:
    fields = unpack(pack_worker_info(FULL))
    fields[3]["q"][name] = value
    field = {"tasks": "running_tasks"}.get(name, name)
    without = attrs.evolve(FULL, **{field: None}) if hasattr(FULL, field) else FULL
    assert read_worker_info(pack(fields)) == without


def test_a_running_task_of_a_later_version_may_say_more() -> None:
    fields = unpack(pack_worker_info(FULL))
    fields[3]["q"]["tasks"][0].append("more")
    fields[3]["q"]["health"].append("more")
    assert read_worker_info(pack(fields)) == FULL


def test_a_record_names_so_many_tasks_and_reasons_at_most() -> None:
    reasons = ("x" * 2 * HEALTH_REASON_MAX,) * 2 * HEALTH_REASONS_MAX
    health = WorkerHealth(alive=True, ready=False, reasons=reasons)
    many = attrs.evolve(FULL, running_tasks=(TASK,) * 2 * RUNNING_MAX, health=health)
    packed = pack_worker_info(many)
    found = read_worker_info(packed)
    assert found.running_tasks == (TASK,) * RUNNING_MAX
    assert found.health is not None
    assert found.health.reasons == ("x" * HEALTH_REASON_MAX,) * HEALTH_REASONS_MAX
    assert len(packed) < 10_000


def test_signatures_beyond_the_bounds_are_left_out_as_a_whole() -> None:
    one = TaskSignature(required=("x",))
    many = {f"t{n:03}": one for n in range(2 * SIGNATURES_MAX)}
    found = read_worker_info(pack_worker_info(attrs.evolve(FULL, signatures=many))).signatures
    assert found == dict([*many.items()][:SIGNATURES_MAX])
    wide = TaskSignature(optional=tuple(f"p{n}" for n in range(PARAMETERS_MAX + 1)))
    long = TaskSignature(required=("y" * SIGNATURES_LENGTH_MAX,))
    some = attrs.evolve(FULL, signatures={"a": one, "b": wide, "c": one, "d": long, "e": one})
    assert read_worker_info(pack_worker_info(some)).signatures == {"a": one, "c": one}


def test_a_signature_of_a_later_version_may_say_more() -> None:
    fields = unpack(pack_worker_info(FULL))
    fields[3]["q"]["signatures"]["a"].append("more")
    assert read_worker_info(pack(fields)) == FULL
