"""Which writes are confirmed: each script, and each raw command, on a server without replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

import rediq_trio
from rediq_trio import Unconfirmed
from rediq_trio.admin.queue import Queue
from rediq_trio.spec.check.findings import Action, Target, TargetType
from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.spec.history.type_counts import NO_COUNTS
from rediq_trio.spec.history.workflows import CHECK_FIRST_MS
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Mail,
    MailKind,
    NewTask,
    Relations,
    Report,
    Schedule,
    Tick,
    Version,
    WorkerOrder,
    WorkerRecord,
)
from rediq_trio.spec.operations import OPERATIONS, Confirm
from rediq_trio.spec.records import PROPAGATED_AT_ONCE, GroupRule
from rediq_trio.spec.stored_format import UNSET_RETENTION_MS
from rediq_trio.store.redis import durability
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import Script, load_scripts
from rediq_trio.store.redis.store import RedisStore
from tests.conformance.bench import START, Q, new
from tests.opened import Opened
from tests.redis.conftest import Behind, open_behind
from tests.redis.test_check import CASES, plant
from tests.servers import Server

RAISE, NOTE, NO, READ = "Unconfirmed is raised", "it is counted", "it is not confirmed", "none"
"""What becomes of the write of a script where no replica is there to confirm it."""


class Noted(dict[str, Script]):
    """The scripts, and which of them were run."""

    def __init__(self) -> None:
        super().__init__(load_scripts())
        self.run: list[str] = []

    def __getitem__(self, name: str) -> Script:
        self.run.append(name)
        return super().__getitem__(name)


@attrs.frozen
class World:
    """A queue behind a store that confirms nothing, and one that asks for a replica."""

    behind: Behind
    sure: RedisStore
    gateway: Gateway
    scripts: Noted

    async def dirty(self) -> int:
        """Count the writes that the server ever made."""
        [info] = (await self.behind.gateway.call_each(b"INFO", b"persistence")).values()
        [line] = [one for one in info.split() if one.startswith(b"rdb_changes_since_last_save:")]
        return int(line.partition(b":")[2])


@asynccontextmanager
async def _open_world(server: Server) -> AsyncIterator[World]:
    async with (
        open_behind(server) as behind,
        open_gateway(
            parse_address(server.url), Keys("test"), Durability("replicated", 1)
        ) as gateway,
    ):
        scripts = Noted()
        sure = RedisStore(gateway, scripts, behind.keys, clock=behind.bench.clock)
        yield World(behind, sure, gateway, scripts)


@pytest.fixture
def world(redis_server: Server, monkeypatch: pytest.MonkeyPatch) -> Opened:
    # A replica that is not there does not come within a second either.
    monkeypatch.setattr(durability, "CONFIRM_WITHIN_MS", 1)
    return Opened(lambda: _open_world(redis_server))


Call = Callable[[RedisStore], Awaitable[Any]]
Prepare = Callable[[Behind], Awaitable[Call]]
MESSAGE = Mail(1, Q, MailKind.TASK, task=new("t"))
VERSION = Version(b"e", 50, 3, 3, UNSET_RETENTION_MS)
MOVED = NewTask("new", b"e", relations=Relations(queue="other"))
SCHEDULE = Schedule("s", b"when", NewTask("", b"e"), owner="app", next_ms=START)


def simply(call: Call, *tasks: str, **options: Any) -> Prepare:
    """Make a case of a call that needs only these tasks."""

    async def prepare(behind: Behind) -> Call:
        if tasks:
            await behind.bench.add(*tasks, **options)
        return call

    return prepare


def leased(call: Callable[[RedisStore, Any], Awaitable[Any]]) -> Prepare:
    """Make a case of a call with the lease of a running task."""

    async def prepare(behind: Behind) -> Call:
        fence = await behind.bench.active()
        return lambda store: call(store, fence)

    return prepare


def scheduled(call: Call) -> Prepare:
    """Make a case of a call about a schedule."""

    async def prepare(behind: Behind) -> Call:
        await behind.bench.store.declare(Q, schedule=SCHEDULE)
        return call

    return prepare


def damaged(action: Action) -> Prepare:
    """Make a case of a repair, of the first damage that needs no other."""

    async def prepare(behind: Behind) -> Call:
        await plant(behind, next(case for case in CASES.values() if case.actions == (action,)))
        queue = Queue(behind.bench.store, Q)
        plan = await queue.repair_plan(await queue.check())
        repair = next(one for one in plan if one.what is action)
        return lambda store: store.repair(Q, repair)

    return prepare


async def _with_message(behind: Behind) -> Call:
    await behind.bench.add("t", relations=Relations(queue="other"))
    [message] = await behind.bench.store.outbox(Q, limit=1)
    return lambda store: store.acknowledge(Q, message.seq)


async def _with_ended(behind: Behind) -> Call:
    await behind.bench.ended("t", State.DEAD)
    behind.bench.clock.advance(10)
    return lambda store: store.purge(Q, limit=10, dead_retention_ms=0, max_dead=0)


async def _with_lapsed(behind: Behind) -> Call:
    await behind.bench.active()
    behind.bench.clock.advance(10**6)
    return lambda store: store.reclaim(Q, limit=10)


async def _with_expired(behind: Behind) -> Call:
    await behind.bench.add("t", expires_in_ms=5)
    behind.bench.clock.advance(10)
    return lambda store: store.expire(Q, limit=10)


async def _with_due(behind: Behind) -> Call:
    await behind.bench.add("t", delay_ms=5)
    behind.bench.clock.advance(10)
    return lambda store: store.promote(Q, limit=10)


async def _with_dead(behind: Behind) -> Call:
    await behind.bench.ended("t", State.DEAD)
    return lambda store: store.revive(Q, ["t"])


async def _with_settings(behind: Behind) -> Call:
    await behind.bench.store.arrange(Q, fair=True)
    return lambda store: store.remove_queue(Q, received={})


async def _with_group(behind: Behind) -> Call:
    await behind.bench.add("t", relations=Relations(group="g"))
    await behind.bench.store.set_group_rules(Q, rules={"g": GroupRule(1, 1, 1)})
    behind.bench.clock.advance(10)
    return lambda store: store.batch(Q, ids=["b"])


async def _with_endings(behind: Behind) -> Call:
    # More than one step tells: the rest is left for later ones.
    await behind.bench.add("source")
    await behind.bench.add(
        *(f"n{n}" for n in range(PROPAGATED_AT_ONCE + 1)), relations=Relations(needs=("source",))
    )
    await behind.bench.store.cancel(Q, "source")
    return lambda store: store.unblock(Q, limit=10)


async def _with_worker(behind: Behind) -> Call:
    await behind.bench.store.register(WorkerRecord("w", b"data", 10**6))
    return lambda store: store.unregister("w")


async def _with_workflow(behind: Behind) -> Call:
    await behind.bench.store.keep_workflow("w", b"d")
    return lambda store: store.forget_workflow("w")


async def _with_workflow_due(behind: Behind) -> Call:
    await behind.bench.store.keep_workflow("w", b"d")
    behind.bench.clock.advance(CHECK_FIRST_MS)
    return lambda store: store.due_workflows(limit=1)


async def _with_samples(behind: Behind) -> Call:
    await behind.bench.add("t")
    await behind.bench.store.sample(Q, known=-1, unseen_ms=0)
    return lambda store: store.trim(Q, shed=1)


async def _with_live_worker(behind: Behind) -> Call:
    await behind.bench.store.register(WorkerRecord("w", b"data", 10**6))
    return lambda store: store.order("w", WorkerOrder("1", b"o"), queue=Q)


def _look(kind: TargetType, name: str, other: str = "", raw: tuple[bytes, ...] = ()) -> Prepare:
    subject = Target(kind, name, other, raw=raw or (name.encode(),))
    return simply(lambda store: store.views(Q, [subject]), "t")


CALLS: dict[str, tuple[str, Prepare]] = {
    # Written for a client, or an operator.
    "enqueue": (RAISE, simply(lambda store: store.enqueue(Q, [new("t")]))),
    "cancel": (RAISE, simply(lambda store: store.cancel(Q, "t"), "t")),
    "reschedule": (RAISE, simply(lambda store: store.reschedule(Q, "t", delay_ms=5), "t")),
    "update": (
        RAISE,
        simply(lambda store: store.update(Q, "t", seen=VERSION, new=VERSION), "t", envelope=b"e"),
    ),
    "requeue": (
        RAISE,
        simply(lambda store: store.requeue(Q, "t", seen=VERSION, task=MOVED), "t", envelope=b"e"),
    ),
    "revive": (RAISE, _with_dead),
    "delete": (RAISE, simply(lambda store: store.delete(Q, ["t"]), "t")),
    "pause": (RAISE, simply(lambda store: store.pause(Q))),
    "flush": (RAISE, simply(lambda store: store.flush(Q), "t")),
    "limit": (RAISE, simply(lambda store: store.limit(Q, key="k", concurrency=1))),
    "arrange": (RAISE, simply(lambda store: store.arrange(Q, max_pending=1))),
    "remove_queue": (RAISE, _with_settings),
    "declare": (RAISE, simply(lambda store: store.declare(Q, schedule=SCHEDULE))),
    "retract": (RAISE, scheduled(lambda store: store.retract(Q, names=["s"]))),
    "retract_others": (
        RAISE,
        scheduled(lambda store: store.retract_others(Q, owner="app", names=[])),
    ),
    "suspend": (RAISE, scheduled(lambda store: store.suspend(Q, name="s"))),
    "trigger": (RAISE, scheduled(lambda store: store.trigger(Q, name="s", task=new("t")))),
    "receive": (RAISE, simply(lambda store: store.receive(Q, "other", [MESSAGE]))),
    "repair_group": (RAISE, damaged(Action.GROUP)),
    "repair_lane": (RAISE, damaged(Action.LANE)),
    "repair_totals": (RAISE, damaged(Action.SEQ)),
    "repair_schedule": (RAISE, damaged(Action.SCHEDULE)),
    "repair_member": (RAISE, damaged(Action.REINDEX)),
    "repair_task": (RAISE, damaged(Action.LIST)),
    "repair_dependency": (RAISE, damaged(Action.RELINK)),
    "repair_unique": (RAISE, damaged(Action.FREE)),
    # Written for a worker.
    "claim": (
        NOTE,
        simply(lambda store: store.claim(Q, limit=1, lease_ms=9, worker="w", nonce=b"n" * 8), "t"),
    ),
    "settle": (NOTE, leased(lambda store, fence: store.settle(Q, [Completed(fence, b"r")]))),
    "remember": (NOTE, leased(lambda store, fence: store.remember(Q, fence, ("step", b"\x01")))),
    # Written again soon.
    "acknowledge": (NO, _with_message),
    "batch": (NO, _with_group),
    "log": (RAISE, simply(lambda store: store.log(Logbook.AUDIT, nonce=b"n", data=b"d"))),
    "order": (NO, _with_live_worker),
    "keep_workflow": (NO, simply(lambda store: store.keep_workflow("w", b"d"))),
    "forget_workflow": (NO, _with_workflow),
    "due_workflows": (NO, _with_workflow_due),
    "register": (NO, simply(lambda store: store.register(WorkerRecord("w", b"data", 10**6)))),
    "expire": (NO, _with_expired),
    "set_group_rules": (
        NO,
        simply(
            lambda store: store.set_group_rules(Q, rules={"g": GroupRule(5, 1, 1)}),
            "t",
            relations=Relations(group="g"),
        ),
    ),
    "unregister": (NO, _with_worker),
    "promote": (NO, _with_due),
    "purge": (NO, _with_ended),
    "reclaim": (NO, _with_lapsed),
    "renew": (NO, leased(lambda store, fence: store.renew(Q, [fence], lease_ms=10**6))),
    "report": (NO, leased(lambda store, fence: store.report(Q, [Report(fence, b"p")]))),
    "tick": (
        NO,
        scheduled(
            lambda store: store.tick(
                Q,
                name="s",
                expected_ms=START,
                revision=1,
                ticks=[Tick(START, new("t"))],
                next_ms=START + 1,
            )
        ),
    ),
    "unblock": (NO, _with_endings),
    "watch": (NO, simply(lambda store: store.watch(Q, "t"), "t")),
    # Only reading.
    "agenda": (READ, scheduled(lambda store: store.agenda(Q))),
    "inspect_tasks": (READ, _look(TargetType.TASK, "t")),
    "groups": (READ, simply(lambda store: store.groups(Q, limit=1))),
    "inspect": (READ, simply(lambda store: store.get(Q, ["t"]), "t")),
    "description": (READ, simply(lambda store: store.description(Q, "t"), "t")),
    "situation": (READ, simply(lambda store: store.situation(Q, "t"), "t")),
    "states": (READ, simply(lambda store: store.states(Q, ["t"]), "t")),
    "inspect_groups": (READ, _look(TargetType.GROUP, "g")),
    "inspect_keys": (READ, simply(lambda store: store.key_report(Q), "t")),
    "inspect_lanes": (READ, _look(TargetType.LANE, "k")),
    "inspect_messages": (READ, _look(TargetType.SENDER, "other")),
    "inspect_schedules": (READ, _look(TargetType.SCHEDULE, "s")),
    "inspect_members": (
        READ,
        _look(
            TargetType.MEMBER, "t", f"{State.PENDING} 5 k", (b"keyed", b"\x01k" + b"0" * 15 + b"5t")
        ),
    ),
    "inspect_dependencies": (READ, _look(TargetType.DEPENDENCY, "t", "u", (b"t", b"u"))),
    "inspect_unique": (READ, _look(TargetType.UNIQUE, "u")),
    "list": (READ, simply(lambda store: store.list(Q, State.PENDING, limit=1), "t")),
    "scan": (READ, simply(lambda store: store.scan(Q, State.PENDING, limit=1), "t")),
    "list_workflows": (READ, simply(lambda store: store.workflows(limit=1))),
    "workers": (READ, simply(lambda store: store.workers())),
    "sample": (NO, simply(lambda store: store.sample(Q, known=-1, unseen_ms=0), "t")),
    "tally": (
        NO,
        simply(
            lambda store: store.tally(Q, worker=b"worker-1", number=1, counts={"sum": (1, *NO_COUNTS[1:])}), "t"
        ),
    ),
    "trim": (NO, _with_samples),
    "note_size": (NO, simply(lambda store: store.note_size(Q, 9, last=True))),
    "statistics": (READ, simply(lambda store: store.series_bytes(Q), "t")),
    "types": (READ, simply(lambda store: store.types(Q, since_ms=-60_000), "t")),
    "series": (READ, simply(lambda store: store.series(Q, level=0, since_ms=-60_000), "t")),
    "failure_kinds": (READ, simply(lambda store: store.failure_kinds(Q), "t")),
    "stats": (READ, simply(lambda store: store.stats(Q), "t")),
}
"""What becomes of each script's write, and a call that runs it."""


@pytest.mark.parametrize("script", sorted({*load_scripts(), *CALLS}))
async def test_each_script_is_confirmed_as_the_table_says(world: World, script: str) -> None:
    outcome, prepare = CALLS[script]
    call = await prepare(world.behind)
    # Else the queue's name would be written first, and raise what the script has to raise.
    world.sure._names._known.add(Q)
    writes, unconfirmed_before = await world.dirty(), world.gateway.unconfirmed
    found = NO
    try:
        await call(world.sure)
    except Unconfirmed:
        found = RAISE
    if world.gateway.unconfirmed > unconfirmed_before:
        found = NOTE
    if found == NO and await world.dirty() == writes:
        found = READ
    assert {*world.scripts.run} == {script}
    assert found == outcome
    assert (await world.dirty() > writes) == (outcome != READ)


def test_each_script_is_an_operations_or_named_apart() -> None:
    of_operations = {durability.OTHER_SCRIPT.get(name, name) for name in OPERATIONS}
    apart = (
        durability.REPAIRS, durability.OF_WORKERS, durability.OF_WORKFLOWS, durability.OF_PEOPLE,
        durability.OF_STATISTICS, durability.READING,
    )  # fmt: skip
    named = [*of_operations, *(name for some in apart for name in some)]
    assert sorted(named) == sorted(load_scripts())
    with pytest.raises(LookupError, match="the script defer is of no operation"):
        durability.confirm_of("defer")


# --- raw commands


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, Confirm]]:
    """Note each raw command that is sent, and what becomes of it when it is not confirmed."""
    last_entry: list[tuple[bytes, Confirm]] = []
    write = Gateway.write

    async def writing(self: Gateway, *command: Any, confirm: Confirm) -> Any:
        last_entry.append((command[0], confirm))
        return await write(self, *command, confirm=confirm)

    monkeypatch.setattr(Gateway, "write", writing)
    return last_entry


async def test_the_number_of_partitions_is_confirmed_and_written_as_a_whole(
    world: World, sent: list[tuple[bytes, Confirm]]
) -> None:
    queue = Queue(world.sure, "mail")
    for count, commands in (
        (4, [b"HSET", b"SADD"]),
        (4, [b"HSET", b"SADD"]),  # Said again, it is not taken for confirmed because it is there.
        (2, [b"SREM", b"HSET", b"SADD"]),
        (1, [b"SREM", b"HDEL"]),
    ):
        sent.clear()
        with pytest.raises(Unconfirmed, match="0 of 1 replicas have it"):
            await queue.partition(count)
        assert sent == [(command, Confirm.RAISE) for command in commands]
        found = await world.behind.bench.store.partitions()
        assert {name: counted.count for name, counted in found.items()} == (
            {"mail": count} if count > 1 else {}
        )
        assert await queue.check() == []


async def test_repairs_by_raw_commands_are_confirmed(
    world: World, sent: list[tuple[bytes, Confirm]]
) -> None:
    await world.behind.bench.add("t")
    await world.behind.bench.store.set_partitions(Q, 4)
    await world.behind.gateway.call(b"HDEL", world.behind.keys.partitions, Q)
    await world.behind.raw("PEXPIRE", "pending", 10**6)
    queue = Queue(world.sure, Q)
    plan = await queue.repair_plan(await queue.check())
    assert [repair.what for repair in plan] == [Action.PARTITIONS, Action.PERSIST]
    sent.clear()
    for repair in plan:
        with pytest.raises(Unconfirmed):
            await queue.repair([repair])
    assert sent == [(b"HSET", Confirm.RAISE), (b"PERSIST", Confirm.RAISE)]
    assert await queue.check() == []


async def test_a_queue_whose_name_is_not_confirmed_has_its_task_and_its_name_is_written_again(
    world: World, sent: list[tuple[bytes, Confirm]]
) -> None:
    for own in ("t", "u"):
        with pytest.raises(Unconfirmed) as short:
            await world.sure.enqueue("fresh", [new(own)])
        assert short.value.answer is not None
    assert sent == [(b"SADD", Confirm.RAISE)] * 2
    assert await world.behind.bench.store.list("fresh", State.PENDING, limit=9) == ("t", "u")


async def test_a_command_that_writes_is_refused_as_one_that_reads(world: World) -> None:
    assert await world.gateway.read(b"HGET", b"key", b"field") is None
    for command in (b"HSET", b"SADD", b"PERSIST", b"EVAL"):
        with pytest.raises(ValueError, match="is not known to only read"):
            await world.gateway.read(command, b"key", b"field", b"value")


def test_no_module_sends_a_command_of_which_nobody_said_whether_it_is_confirmed() -> None:
    root = Path(rediq_trio.__file__).parent
    sources = {path: path.read_text("utf-8") for path in root.rglob("*.py")}
    calling = {path.name for path, text in sources.items() if "gateway.call(" in text}
    # Of what `rediq doctor` sends nothing is kept: it tries each right, and removes what it wrote.
    assert calling == {"doctor.py", "permissions.py"}
