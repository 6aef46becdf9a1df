"""How each operation of the queue is sent to its script, and how its reply is read.

One function for each operation, with the operation's own arguments. It takes the queue's name
and the time ('' for the server's own) before them, and returns the script's arguments and what
reads the reply. `RedisStore` is made from these and from `spec.operations`; what happens is in
`lua/`. Long, because there are so many operations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

from rediq_trio.spec.carried import Kept
from rediq_trio.spec.groups import NO_RULES, Rules
from rediq_trio.spec.ids import pack_id, unpack_id
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    LEFT,
    Agenda,
    Cancelling,
    Claimed,
    Completed,
    Death,
    Deleted,
    Due,
    Enqueued,
    Failed,
    Fence,
    InState,
    Lease,
    Mail,
    NewTask,
    Obstacle,
    Outcome,
    PartlyCompleted,
    Received,
    Removal,
    Report,
    Requeued,
    Rescheduled,
    Schedule,
    Settled,
    States,
    Tick,
    Updated,
    Verdict,
    Version,
)
from rediq_trio.spec.settle import DETAILED, TRANSITION_OF, detail_of
from rediq_trio.spec.stored_format import CODE_OF
from rediq_trio.store.port import BATCH
from rediq_trio.store.redis.codec import (
    answer_of,
    known_states,
    outcome_args,
    pack_mail,
    pack_options,
    pack_rate,
    read_schedule,
    rule_args,
    state_of,
)
from rediq_trio.store.redis.record_format import newer_format
from rediq_trio.wire.batch_envelope import read_envelope
from rediq_trio.wire.packed_values import pack_pair
from rediq_trio.wire.packing import pack_for_lua, text_of

A = TypeVar("A")
Now = int | str


class ScriptCall(NamedTuple, Generic[A]):
    """What is sent to a script, and how its reply is read."""

    args: Sequence[Any]
    read: Callable[[Any], A]
    head: int = 0
    """Arguments before the items, where several calls may be merged into one."""
    items: int = 0
    """Items of such a call; 0 for a call that is not merged."""


def _fence(fence: Fence) -> tuple[bytes, int, bytes]:
    return pack_id(fence.id), fence.deliveries, fence.nonce


def _task(task: NewTask) -> tuple[bytes, bytes, bytes]:
    return pack_id(task.id), task.envelope, pack_options(task)


def _read_due(reply: list[Any]) -> Due:
    moved, next_in, *deaths = reply
    return Due(moved, None if next_in < 0 else next_in, _read_deaths(deaths))


def _read_deaths(reply: Sequence[Any]) -> tuple[Death, ...]:
    return tuple(
        Death(unpack_id(reply[i]), reply[i + 1], text_of(reply[i + 2]))
        for i in range(0, len(reply), 3)
    )


def _read_names(reply: list[bytes]) -> tuple[str, ...]:
    return tuple(sorted(name.decode("utf-8", "replace") for name in reply))


def _read_answers(reply: list[Any]) -> Enqueued:
    return tuple(map(answer_of, reply))


def _read_verdicts(reply: list[int]) -> tuple[Verdict, ...]:
    return tuple(map(Verdict, reply))


def _read_settled(reply: list[Any], outcomes: int) -> Settled:
    answers = (
        state_of(one) if isinstance(one, int) else PartlyCompleted(tuple(map(unpack_id, one)))
        for one in reply[:outcomes]
    )
    return Settled(answers, _read_deaths(reply[outcomes]) if len(reply) > outcomes else ())


def _read_received(reply: list[Any]) -> Received:
    deaths = _read_deaths(reply.pop()) if isinstance(reply[-1], list) else ()
    last, *refused = reply
    return Received(last, tuple(refused), deaths)


def _read_flags(reply: list[int]) -> tuple[bool, ...]:
    return tuple(map(bool, reply))


def _read_created(reply: int) -> int | None:
    return None if reply < 0 else reply


def _state_reader(queue: str, task_id: str) -> Callable[[int], State | None]:
    def read(code: int) -> State | None:
        return known_states(queue, (task_id,), (code,))[0]

    return read


def _read_number(reply: Any) -> int:
    number: int = reply
    return number


def _read_nothing(_: Any) -> None:
    return None


# --- what comes in


def enqueue(
    queue: str,
    now: Now,
    tasks: Sequence[NewTask],
    *,
    atomic: bool = False,
    step: bool = False,
) -> ScriptCall[Enqueued]:
    args: list[Any] = [now, 1 if atomic else 2 if step else 0]
    for task in tasks:
        args += (pack_id(task.id), task.envelope, pack_options(task))
    # Producers that wait at the same time share a call, except for one that is all or nothing.
    items = 0 if atomic or step else len(tasks)
    return ScriptCall(args, _read_answers, head=2, items=items)


def receive(queue: str, now: Now, sender: str, mail: Sequence[Mail]) -> ScriptCall[Received]:
    return ScriptCall((now, sender, *map(pack_mail, mail)), _read_received)


def acknowledge(
    queue: str, now: Now, seq: int, *, refused: Sequence[tuple[str, str]] = ()
) -> ScriptCall[int]:
    children = [part for task_id, ref in refused for part in (pack_id(task_id), ref)]
    return ScriptCall((seq, *children), _read_number)


# --- what a worker does


def claim(
    queue: str, now: Now, *, limit: int, lease_ms: int, worker: str, nonce: bytes
) -> ScriptCall[Claimed]:
    def read(reply: list[Any]) -> Claimed:
        remaining, till, next_in = reply[:3]
        deaths = _read_deaths(reply.pop()) if type(reply[-1]) is list else ()
        leases = [
            Lease(
                Fence(unpack_id(reply[i]), reply[i + 1], nonce),
                reply[i + 2],
                reply[i + 3],
                read_envelope(reply[i + 4]),
                till,
                reply[i + 5],
            )
            for i in range(3, len(reply), 6)
        ]
        return Claimed(
            tuple(leases),
            max(0, remaining),
            None if next_in == -1 else next_in,
            newer_format(-remaining),
            deaths,
        )

    return ScriptCall((now, min(limit, BATCH), lease_ms, worker, nonce), read)


def renew(
    queue: str, now: Now, fences: Sequence[Fence], *, lease_ms: int
) -> ScriptCall[tuple[Verdict, ...]]:
    args: list[Any] = [now, lease_ms]
    for fence in fences:
        args += _fence(fence)
    return ScriptCall(args, _read_verdicts)


def settle(queue: str, now: Now, outcomes: Sequence[Outcome]) -> ScriptCall[Settled]:
    runs: list[str | int | dict[int, Any]] = []
    args: list[Any] = [now, b"", 0]
    options: dict[int, int] = {}
    details: dict[int, bytes] = {}
    kinds: dict[int, tuple[str, bytes]] = {}
    for kind, run in groupby(outcomes, type):
        start, detailed = len(args), kind in DETAILED
        for outcome in run:
            fence = outcome.fence
            first, second, option = outcome_args(outcome)
            args += (pack_id(fence.id), fence.deliveries, fence.nonce, first, second)
            if second and kind is Completed:
                args[2] = 1
            if option is not None:
                options[(len(args) - 3) // 5] = option
            if detailed and (detail := detail_of(outcome)):
                details[(len(args) - 3) // 5] = detail
            if isinstance(outcome, Failed) and outcome.kind:
                kinds[(len(args) - 3) // 5] = (outcome.kind, outcome.sample)
        runs += (TRANSITION_OF[kind], (len(args) - start) // 5)
    if options or details or kinds:
        runs += (options, details, kinds)
    args[1] = pack_for_lua(runs)

    def read(reply: list[Any]) -> Settled:
        return _read_settled(reply, len(outcomes))

    return ScriptCall(args, read)


def report(queue: str, now: Now, items: Sequence[Report]) -> ScriptCall[tuple[bool, ...]]:
    args: list[Any] = []
    for item in items:
        args += (*_fence(item.fence), item.progress)
    return ScriptCall(args, _read_flags)


def remember(queue: str, now: Now, fence: Fence, step: Kept) -> ScriptCall[bool]:
    return ScriptCall((*_fence(fence), pack_pair(*step)), bool)


# --- what a keeper does


def limited(queue: str, now: Now, *, limit: int) -> ScriptCall[Due]:
    """Send what promote, unblock, reclaim and expire take: how many tasks they move, at most."""
    return ScriptCall((now, limit), _read_due)


def purge(
    queue: str, now: Now, *, limit: int, dead_retention_ms: int, max_dead: int
) -> ScriptCall[Due]:
    return ScriptCall((now, limit, dead_retention_ms, max_dead), _read_due)


def set_group_rules(queue: str, now: Now, *, rules: Rules) -> ScriptCall[int]:
    return ScriptCall(rule_args(rules), _read_number)


def batch(queue: str, now: Now, *, ids: Sequence[str], rules: Rules = NO_RULES) -> ScriptCall[Due]:
    return ScriptCall([now, pack_for_lua(rule_args(rules)), *map(pack_id, ids)], _read_due)


def tick(
    queue: str,
    now: Now,
    *,
    name: str,
    expected_ms: int,
    revision: int,
    ticks: Sequence[Tick],
    next_ms: int,
) -> ScriptCall[int | None]:
    args: list[Any] = [now, name, expected_ms, revision, next_ms]
    for one in ticks:
        args += (one.at_ms, *_task(one.task))
    return ScriptCall(args, _read_created)


# --- what a caller or an operator does


def cancel(
    queue: str, now: Now, task_id: str, *, still: InState | None = None
) -> ScriptCall[Cancelling]:
    read_state = _state_reader(queue, task_id)

    def read(reply: int | list[Any]) -> Cancelling:
        code, *deaths = reply if isinstance(reply, list) else (reply,)
        return Cancelling(read_state(code), _read_deaths(deaths))

    return ScriptCall((now, pack_id(task_id), *_still(still)), read)


def reschedule(
    queue: str, now: Now, task_id: str, *, delay_ms: int = 0, run_at_ms: int = 0
) -> ScriptCall[Rescheduled]:
    def read(codes: list[int]) -> Rescheduled:
        before, after = codes
        return Rescheduled(known_states(queue, (task_id,), (before,))[0], state_of(after))

    return ScriptCall((now, pack_id(task_id), delay_ms, run_at_ms), read)


def update(
    queue: str, now: Now, task_id: str, *, seen: Version, new: Version, expires_in_ms: int = 0
) -> ScriptCall[Updated]:
    def read(reply: list[int]) -> Updated:
        code, done = reply
        return Updated(known_states(queue, (task_id,), (code,))[0], bool(done))

    args = (now, pack_id(task_id), *_version(seen), *_version(new), expires_in_ms)
    return ScriptCall(args, read)


def requeue(
    queue: str,
    now: Now,
    task_id: str,
    *,
    seen: Version,
    task: NewTask,
    still: InState | None = None,
) -> ScriptCall[Requeued]:
    def read(reply: list[int]) -> Requeued:
        code, obstacle = reply
        state = known_states(queue, (task_id,), (code,))[0]
        return Requeued(state, Obstacle(obstacle) if obstacle else None)

    args = (now, pack_id(task_id), *_version(seen), *_task(task), *_still(still))
    return ScriptCall(args, read)


def _still(still: InState | None) -> tuple[int | str, int | str]:
    return ("", "") if still is None else (CODE_OF[still.state], still.entered_by_ms)


def _version(one: Version) -> tuple[bytes, bytes]:
    numbers = one.priority, one.max_retry, one.max_crashes, one.retention_ms, one.expires_ms
    return one.envelope, pack_for_lua(numbers)


def watch(queue: str, now: Now, task_id: str) -> ScriptCall[State | None]:
    return ScriptCall((pack_id(task_id),), _state_reader(queue, task_id))


def revive(
    queue: str, now: Now, ids: Sequence[str], *, still: InState | None = None
) -> ScriptCall[States]:
    def read(codes: list[int]) -> States:
        return known_states(queue, ids, codes)

    return ScriptCall([now, *_still(still), *map(pack_id, ids)], read)


def delete(
    queue: str, now: Now, ids: Sequence[str], *, still: InState | None = None
) -> ScriptCall[Deleted]:
    def read(reply: list[Any]) -> Deleted:
        deaths = _read_deaths(reply[len(ids)]) if len(reply) > len(ids) else ()
        return Deleted(known_states(queue, ids, reply[: len(ids)]), deaths)

    return ScriptCall([now, *_still(still), *map(pack_id, ids)], read)


def pause(queue: str, now: Now, note: bytes = b"") -> ScriptCall[None]:
    return ScriptCall((now, "1", note), _read_nothing)


def resume(queue: str, now: Now) -> ScriptCall[None]:
    return ScriptCall((now, "0", b""), _read_nothing)


def flush(queue: str, now: Now) -> ScriptCall[int]:
    return ScriptCall((now,), _read_number)


def limit(
    queue: str,
    now: Now,
    *,
    key: str,
    concurrency: int | None = None,
    count: int | None = None,
    period_ms: int = 0,
    burst: int = 1,
) -> ScriptCall[None]:
    running = "" if concurrency is None else concurrency
    args = (now, key, running, pack_rate(count, period_ms, burst))
    return ScriptCall(args, _read_nothing)


def arrange(
    queue: str,
    now: Now,
    *,
    max_pending: int | None = None,
    fair: bool | None = None,
    history: int | None = None,
    target_latency_ms: int | None = None,
    target_failures_ppm: int | None = None,
) -> ScriptCall[None]:
    is_fair = None if fair is None else int(fair)
    given = (max_pending, is_fair, history, target_latency_ms, target_failures_ppm)
    return ScriptCall((now, *("" if n is None else n for n in given)), _read_nothing)


def remove_queue(
    queue: str, now: Now, *, received: Mapping[str, int] | None = None
) -> ScriptCall[Removal]:
    def read(reply: list[Any]) -> Removal:
        removed, *rest = reply
        counts, flat = rest[: len(LEFT)], rest[len(LEFT) :]
        left = {name: size for name, size in zip(LEFT, counts, strict=True) if size}
        known = {text_of(k): int(n) for k, n in zip(flat[::2], flat[1::2], strict=True)}
        return Removal(bool(removed), left, known)

    pairs = [part for pair in (received or {}).items() for part in pair]
    return ScriptCall((now, int(received is not None), *pairs), read)


# --- schedules


def agenda(queue: str, now: Now, *, due: int = 0) -> ScriptCall[Agenda]:
    def read(reply: list[Any]) -> Agenda:
        read_at, next_in, *rest = reply
        found: list[Schedule] = []
        unreadable: list[str] = []
        for raw_name, at, raw in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
            name = raw_name.decode("utf-8", "replace")
            schedule = read_schedule(name, raw, round(float(at or 0)))
            if schedule is None:
                unreadable.append(name)
            else:
                found.append(schedule)
        if not due:
            found.sort(key=lambda schedule: schedule.name)
        next_in_ms = None if next_in < 0 else next_in
        return Agenda(read_at, tuple(found), next_in_ms, tuple(sorted(unreadable)))

    return ScriptCall((now, due), read)


def declare(queue: str, now: Now, *, schedule: Schedule) -> ScriptCall[bool]:
    template = schedule.template
    args = (
        schedule.name, schedule.when, template.envelope, pack_options(template), schedule.owner,
        int(schedule.keep), int(schedule.overlap_skip), schedule.next_ms,
    )  # fmt: skip
    return ScriptCall(args, bool)


def retract(queue: str, now: Now, *, names: Collection[str]) -> ScriptCall[tuple[str, ...]]:
    return ScriptCall([*names], _read_names)


def retract_others(
    queue: str, now: Now, *, owner: str, names: Collection[str]
) -> ScriptCall[tuple[str, ...]]:
    return ScriptCall([owner, *names], _read_names)


def suspend(queue: str, now: Now, *, name: str) -> ScriptCall[bool]:
    return ScriptCall((name, 1, 0), bool)


def reinstate(queue: str, now: Now, *, name: str, next_ms: int) -> ScriptCall[bool]:
    return ScriptCall((name, 0, next_ms), bool)


def trigger(queue: str, now: Now, *, name: str, task: NewTask) -> ScriptCall[Enqueued]:
    return ScriptCall((now, name, *_task(task)), _read_answers)
