"""What people do through tools has one entry each; what programs do has none."""

from __future__ import annotations

import datetime as dt
import inspect
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import AuditEntry, ConfigError, ConnectionLost, Encryption, MemoryStore, Task
from rediq_trio._errors import NotAudited, RediqError, TaskNotFound, Unconfirmed
from rediq_trio.admin.dead_letters import DeadLetters
from rediq_trio.admin.queue import Queue
from rediq_trio.admin.selection import Selection
from rediq_trio.admin.worker_handle import WorkerHandle
from rediq_trio.client import Client
from rediq_trio.schedules.admin import Schedules
from rediq_trio.spec.history.logbook import LinePlace, Logbook
from rediq_trio.store.audit.audited import DETAIL_MAX, TEXT_MAX, auditing
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.workflow.handle import WorkflowHandle
from tests.actors.parts import Watched

HOSTILE = "\x1b]0;pwned\x07 \u202eabc\x00 {red} \U0001f600\r\n"


def person(client: Client, **options: Any) -> Client:
    return client.acting(**{"who": "ada", "tool": "rediq", "where": "::1"} | options)


async def last(client: Client) -> AuditEntry:
    return (await client.audit(limit=1))[0]


async def test_an_entry_says_who_did_what_to_what_and_what_became_of_it() -> None:
    async with rediq.connect(MemoryStore()) as client:
        begun = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        await client.enqueue_many([Task("t", queue="q") for _ in range(3)])
        assert await person(client).queue("q").flush() == 3
        [entry] = await client.audit()
        assert (entry.who, entry.tool, entry.where) == ("ada", "rediq", "::1")
        assert (entry.what, dict(entry.selection)) == ("Queue.flush", {"queue": "q"})
        assert (entry.count, entry.outcome, entry.detail) == (3, "done", "")
        assert begun <= entry.at <= begun + dt.timedelta(seconds=60)


async def test_what_a_program_does_has_no_entry() -> None:
    async with rediq.connect(MemoryStore()) as client:
        person(client)
        handle = await client.enqueue(Task("t", queue="q"))
        await client.queue("q").pause()
        await handle.cancel()
        await client.mark("v1")
        assert await client.audit() == ()


async def test_each_change_has_one_entry() -> None:
    async with rediq.connect(MemoryStore()) as client:
        one = person(client)
        queue = one.queue("q")
        handle = await one.enqueue(Task("t", {"secret": 1}, queue="q", delay=60))
        await one.enqueue_many([Task("t", queue="q"), Task("t", queue="q")])
        await handle.run_now()
        await handle.reschedule(delay=60)
        await handle.update(priority=7, payload="secret")
        moved = await handle.requeue("other")
        again = await moved.enqueue_again(priority=3)
        await again.cancel()
        await again.retry()
        await again.delete()
        await queue.pause("why", by="bob")
        await queue.resume()
        await queue.keep_history(10)
        await queue.limit(concurrency=3)
        await queue.limit(concurrency=None)
        await queue.dead.retry_all()
        await queue.dead.purge()
        await queue.repair([])
        await queue.flush()
        await one.queue("none").partition(2)
        await one.queue("none").remove()
        schedules = one.schedules()
        await schedules.add("s", rediq.Every(60), Task("t", queue="q"))
        await schedules.pause("s")
        await schedules.resume("s")
        await schedules.trigger("s")
        await schedules.remove("s")
        await one.mark("v1")
        found = await client.audit(newest=False)
        assert [entry.what for entry in found] == [
            "Client.enqueue", "Client.enqueue_many", "TaskHandle.run_now", "TaskHandle.reschedule",
            "TaskHandle.update", "TaskHandle.requeue", "TaskHandle.enqueue_again",
            "TaskHandle.cancel", "TaskHandle.retry", "TaskHandle.delete", "Queue.pause",
            "Queue.resume", "Queue.keep_history", "Queue.limit", "Queue.limit",
            "DeadLetters.retry_all", "DeadLetters.purge", "Queue.repair", "Queue.flush",
            "Queue.partition", "Queue.remove", "Schedules.add", "Schedules.pause",
            "Schedules.resume", "Schedules.trigger", "Schedules.remove", "Client.mark",
        ]  # fmt: skip
        assert {entry.outcome for entry in found} == {"done"}
        by_name = {entry.what: entry for entry in found}
        assert dict(by_name["Client.enqueue"].selection) == {"task": "t in q"}
        assert by_name["Client.enqueue"].detail == handle.id
        assert by_name["Client.enqueue_many"].count == 2
        assert dict(by_name["TaskHandle.update"].selection) == {
            "task": handle.id, "priority": "7", "payload": "(not kept)",
        }  # fmt: skip
        assert by_name["TaskHandle.requeue"].detail == moved.id
        assert dict(by_name["Queue.pause"].selection) == {
            "queue": "q", "reason": "why", "by": "bob",
        }  # fmt: skip
        assert by_name["Schedules.add"].selection["name"] == "s"
        assert by_name["Queue.limit"].selection["concurrency"] == "None"
        assert "secret" not in repr(found)


READING = {
    Client: {"acting", "audit", "marks", "overview", "queue", "queues", "schedules", "task", "worker",
             "workers", "workflow", "workflows"},
    Queue: {"check", "failures", "find", "groups", "history_lines", "import_tasks", "limits",
            "repair_plan", "select", "series", "series_bytes", "stats", "targets", "tasks", "types"},
    Selection: {"cancel", "count", "delete", "export", "preview", "requeue", "retry"},
    WorkerHandle: {"info", "stacks"},
    DeadLetters: {"list"},
    Schedules: {"get", "list", "resume"},
    TaskHandle: {"info", "progress", "result", "wait", "why"},
    WorkflowHandle: {"info", "mermaid", "result", "states", "status", "svg", "wait"},
}  # fmt: skip
"""The methods that change nothing by themselves: `targets` and `resume` call what does, those of a selection and
`import_tasks` return iterators that do."""


async def test_a_schedule_that_ticks_is_not_resumed_and_nothing_is_written() -> None:
    store = Watched()
    async with rediq.connect(store) as client:
        one = client.acting(who="ada", tool="test").schedules()
        await one.add("s", rediq.Every(60), Task("t", queue="q"))
        before = await one.get("s")
        store.calls.clear()
        await one.resume("s")
        assert {"log", "reinstate"}.isdisjoint(store.calls)
        assert await one.get("s") == before
        await one.pause("s")
        await one.resume("s")
        assert not (await one.get("s")).paused
        with pytest.raises(rediq.ScheduleNotFound):
            await one.resume("nosuch")
        found = [entry.what for entry in await client.audit(newest=False)]
        assert found == ["Schedules.add", "Schedules.pause", "Schedules.resume"]


@pytest.mark.parametrize("kind", READING, ids=lambda kind: kind.__name__)
def test_every_method_that_changes_something_is_audited(kind: type) -> None:
    methods = {n for n, m in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_")}
    audited = {name for name in methods if hasattr(getattr(kind, name), "__wrapped__")}
    assert methods - audited == READING[kind]


async def test_a_change_step_by_step_has_an_entry_before_it_and_one_at_its_end() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.enqueue_many([Task("t", queue="q") for _ in range(3)])
        selection = await person(client).queue("q").select("pending", type="t")
        steps = [step async for step in selection.cancel()]
        end, begin = await client.audit()
        assert steps[-1].done == 3
        assert (begin.what, begin.outcome, begin.detail) == ("Selection.cancel", "begun", "")
        assert begin.count is None
        assert (end.what, end.detail, end.count, end.outcome) == ("Selection.cancel", "", 3, "done")
        assert dict(end.selection) == {
            "queue": "q", "state": "pending", "at": selection.at.isoformat(), "type": "t",
        }  # fmt: skip


async def test_values_are_said_in_words() -> None:
    async with rediq.connect(MemoryStore()) as client:
        one, task = person(client), Task("t", queue="q")
        for when, said in (
            (rediq.Every(60), "every 60 s"),
            (rediq.Every(0.5, overlap="skip", catch_up="all"), "every 0.5 s, catch up all, overlap skip"),
            (rediq.Cron("0 2 * * *", "Europe/Paris"), 'cron "0 2 * * *" Europe/Paris'),
        ):  # fmt: skip
            await one.schedules().add("s", when, task)
            (entry,) = await client.audit(limit=1)
            assert dict(entry.selection) == {"name": "s", "when": said, "task": "t in q"}
        handle = await one.enqueue(Task("t", queue="q", delay=60))
        at = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        for options, said in (
            ({"run_at": at}, at.isoformat()),
            ({"delay": dt.timedelta(minutes=3)}, "3 min"),
        ):
            await one.task(handle.id).reschedule(**options)  # type: ignore[arg-type]
            (entry,) = await client.audit(limit=1)
            assert [*entry.selection.values()] == [handle.id, said]
        again = one.task(handle.id)
        await again.enqueue_again(backoff=rediq.Fixed(5), unique=rediq.Unique("k"))
        (entry,) = await client.audit(limit=1)
        assert entry.selection["backoff"] == "fixed, seconds 5"
        assert entry.selection["unique"] == "one at a time, key k"


async def test_a_change_step_by_step_that_fails_says_why(tmp_path: Path) -> None:
    async with rediq.connect(MemoryStore()) as client:
        path = tmp_path / "bad"
        path.write_text("no task", "utf-8")
        with pytest.raises(ConfigError):
            await anext(person(client).queue("q").import_tasks(path))
        failed, begun = await client.audit()
        assert (begun.what, begun.outcome) == ("Queue.import_tasks", "begun")
        assert (failed.outcome, failed.count) == ("failed", None)
        assert failed.detail.startswith("ConfigError: ")


async def test_a_workflow_that_is_cancelled_is_one_entry() -> None:
    async with rediq.connect(MemoryStore()) as client:
        workflow = rediq.chain(Task("a", queue="q"), Task("b", queue="q"))
        handle = await person(client).enqueue(workflow)
        await handle.cancel()
        entry = await last(client)
        assert (entry.what, entry.count) == ("WorkflowHandle.cancel", 2)
        assert dict(entry.selection) == {"workflow": handle.id}


async def test_a_change_that_fails_says_why() -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(TaskNotFound):
            await person(client).task("q/none").cancel()
        with pytest.raises(ConfigError):
            await person(client).queue("q").keep_history(-1)
        limit, cancel = await client.audit()
        assert (cancel.outcome, cancel.count) == ("failed", None)
        assert cancel.detail.startswith("TaskNotFound: no task 'q/none'")
        assert limit.detail.startswith("ConfigError: count=-1: must be")


async def test_a_state_says_what_became_of_a_task() -> None:
    async with rediq.connect(MemoryStore()) as client:
        handle = await person(client).enqueue(Task("t", queue="q"))
        await handle.cancel()
        assert (await last(client)).detail == "cancelled"
        assert not await person(client).queue("q").dead.retry(handle.id)
        entry = await last(client)
        assert (entry.count, entry.detail) == (0, "nothing was changed")


class Failing(MemoryStore):
    """A store in which some calls do not come back as they should."""

    lost = 0
    """How many calls of `log` are carried out, and their answers lost."""
    error: RediqError | None = None

    async def log(self, logbook: Logbook, *, nonce: bytes, data: bytes) -> LinePlace:
        if self.error is not None:
            raise self.error
        place = await super().log(logbook, nonce=nonce, data=data)
        if self.lost:
            self.lost -= 1
            raise ConnectionLost("the answer was lost")
        return place


async def test_an_entry_whose_answer_was_lost_is_there_once() -> None:
    store = Failing()
    store.lost = 2
    async with rediq.connect(store) as client:
        await person(client).queue("q").pause()
        assert [entry.what for entry in await client.audit()] == ["Queue.pause"]
        store.lost = 1
        await client.mark("v1")
        assert len(await client.marks()) == 1


async def test_a_change_without_an_entry_says_so() -> None:
    store = Failing()
    store.error = ConnectionLost("away")
    async with rediq.connect(store, patience=0) as client:
        with pytest.raises(NotAudited, match=r"Queue\.flush was done, but has no entry .* away"):
            await person(client).queue("q").flush()
        with pytest.raises(TaskNotFound):  # what failed comes first
            await person(client).task("q/none").cancel()
        store.error = Unconfirmed("one replica of 1")
        with pytest.raises(Unconfirmed) as caught:
            await person(client).queue("q").flush()
        assert caught.value.answer == 0


async def test_an_interrupted_change_has_an_entry() -> None:
    async with rediq.connect(MemoryStore()) as client:
        with trio.CancelScope() as scope:
            async with auditing(person(client)._store, "Queue.flush", {"queue": "q"}) as deed:
                deed.count = 5
                scope.cancel()
                await trio.lowlevel.checkpoint()
        entry = await last(client)
        assert (entry.outcome, entry.count) == ("interrupted", 5)
        with trio.CancelScope() as scope:
            async with auditing(person(client)._store, "Queue.flush", {"queue": "q"}):
                scope.cancel()
        assert scope.cancelled_caught
        assert [e.outcome for e in await client.audit()] == ["done", "interrupted"]


async def test_what_a_change_consists_of_has_no_entries() -> None:
    async with rediq.connect(MemoryStore()) as client:
        one = person(client)
        async with auditing(one._store, "all", {}):
            await one.queue("q").pause()
            await one.queue("q").resume()
        await one.queue("q").pause()
        assert [e.what for e in await client.audit(newest=False)] == ["all", "Queue.pause"]


async def test_any_text_is_kept_and_a_long_one_is_cut() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await (
            person(client, who=HOSTILE, tool="", where="").queue("q").pause("x" * 1000, by=HOSTILE)
        )
        entry = await last(client)
        assert (entry.who, entry.selection["by"]) == (HOSTILE, HOSTILE)
        assert entry.selection["reason"] == "x" * (TEXT_MAX - 1) + "…"
        async with auditing(person(client)._store, "x", {}) as deed:
            deed.detail = "y" * 1000
        assert len((await last(client)).detail) == DETAIL_MAX


async def test_acting_for_another_is_acting_for_that_one_only() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await person(person(client), who="bob").queue("q").pause()
        assert [entry.who for entry in await client.audit()] == ["bob"]


async def test_pages_go_on_after_an_entry_or_its_id() -> None:
    async with rediq.connect(MemoryStore()) as client:
        for n in range(5):
            await person(client).queue(f"q{n}").pause()
        whole = await client.audit()
        first = await client.audit(limit=2)
        assert await client.audit(limit=2, after=first[-1]) == whole[2:4]
        assert await client.audit(after=first[-1].id) == whole[2:]
        assert await client.audit(newest=False) == whole[::-1]
        assert await client.audit(newest=False, after=whole[3], limit=1) == (whole[2],)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": 0}, r"^limit=0: must be a whole number from 1 to 1,000"),
        ({"limit": 1001}, r"^limit=1001"),
        ({"newest": 1}, r"^newest=1: must be True or False"),
        ({"after": "x"}, r"^after='x': must be an AuditEntry, or the id of one, like 17"),
        ({"after": "1-2-3"}, r"^after="),
        ({"after": "٣-٣"}, r"^after="),
        ({"after": 5}, r"^after=5"),
    ],
)
async def test_a_bad_page_is_refused(given: dict[str, Any], message: str) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=message):
            await client.audit(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"who": ""}, r"^who='': must be text of 1 to 128 characters"),
        ({"who": "x" * 129}, r"^who='xxx"),
        ({"who": None}, r"^who=None"),
        ({"tool": "x" * 65}, r"^tool='xxx.* 0 to 64"),
        ({"where": "x" * 201}, r"^where='xxx.* 0 to 200"),
        ({"where": "\ud800"}, r"without surrogates"),
    ],
)
async def test_a_bad_actor_is_refused(given: dict[str, Any], message: str) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=message):
            person(client, **given)


async def test_marks_are_read_newest_first() -> None:
    async with rediq.connect(MemoryStore()) as client:
        made = await client.mark("v1", by="ada")
        assert (made.text, made.by) == ("v1", "ada")
        await person(client).mark(HOSTILE)
        await client.mark("x" * 200)
        found = await client.marks()
        assert [(each.text, each.by) for each in found] == [
            ("x" * 200, ""), (HOSTILE, "ada"), ("v1", "ada"),
        ]  # fmt: skip
        assert found[-1] == made


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": ""}, r"^text='': must be text of 1 to 200 characters"),
        ({"text": "x" * 201}, r"^text='xxx"),
        ({"text": 5}, r"^text=5"),
        ({"text": "v1", "by": "x" * 129}, r"^by='xxx.* 0 to 128"),
    ],
)
async def test_a_bad_mark_is_refused(given: dict[str, Any], message: str) -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=message):
            await client.mark(**given)
        assert await client.marks() == ()


async def test_entries_and_marks_are_encrypted() -> None:
    store, keys = MemoryStore(), [Encryption.generate_key()]
    async with rediq.connect(store, encryption=Encryption(keys)) as client:
        await person(client, who="grace", where="secret").queue("q").pause("secret")
        await client.mark("secret", by="grace")
        assert (await last(client)).selection["reason"] == "secret"
        assert (await client.marks())[0].text == "secret"
        for logbook in Logbook:
            [line] = await store.logged(logbook, limit=5)
            assert b"secret" not in line.data
            assert b"grace" not in line.data
    async with rediq.connect(store) as without:
        entry, [mark] = await last(without), await without.marks()
        assert (entry.who, entry.what, entry.outcome) == ("(unreadable)",) * 3
        assert (mark.by, mark.text) == ("(unreadable)",) * 2


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\x05", b"\x80", b"\x91\xa1a", b"\xa1a"])
async def test_a_damaged_line_hides_no_other(damaged: bytes) -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        await person(client).mark("v1")
        for logbook in Logbook:
            await store.log(logbook, nonce=b"n", data=damaged)
        assert [entry.who for entry in await client.audit()] == ["(unreadable)", "ada"]
        assert [mark.text for mark in await client.marks()] == ["(unreadable)", "v1"]
