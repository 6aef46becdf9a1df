"""The commands that show and change what is in Redis, against a real server, as a user types them."""

from __future__ import annotations

import datetime as dt
import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.commands import COMMANDS
from rediq_trio.cli.main import main
from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.status import show_alerts
from rediq_trio.observe.as_json import plain
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import shown
from rediq_trio.values.task import QueueStats, TaskInfo, WorkerInfo
from tests.cli.conftest import (
    HERE,
    WITHIN,
    Place,
    Start,
    cli_call,
    cli_environment,
    eventually,
)
from tests.observe.test_posting import receiving

HOSTILE = "a\x1b[31mb\nc\u202ed\x9b0m\u2028e"
ESCAPED = r"a\x1b[31mb\nc\u202ed\x9b0m\u2028e"


@attrs.frozen
class Said:
    """What a command printed, and its status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@attrs.frozen
class Typed:
    """Runs commands at a place of the server, in this process, with a pipe for its output."""

    place: Place
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str, flags: Sequence[str] | None = None) -> Said:
        self.capsys.readouterr()
        try:
            status: object = main([*arguments, *(self.place.flags if flags is None else flags)])
        except SystemExit as ended:  # argparse's way
            status = ended.code
        assert isinstance(status, int)
        return Said(status, *self.capsys.readouterr())

    def piped(self, text: str | bytes, *arguments: str) -> Said:
        """Run a real process with this on standard input."""
        found = subprocess.run(
            [sys.executable, "-m", "rediq_trio", *arguments, *self.place.flags],
            cwd=HERE, env=cli_environment(), capture_output=True, timeout=WITHIN * 2, check=False,
            input=text.encode() if isinstance(text, str) else text,
        )  # fmt: skip
        return Said(found.returncode, found.stdout.decode(), found.stderr.decode())

    def one_line(self, *arguments: str) -> tuple[int, str]:
        """Run a command that fails; return its status and the one line on standard error.

        Two lines may follow it: the text that has a fault, and a caret.
        """
        said = self(*arguments)
        assert said.out == ""
        assert said.err.startswith("rediq")
        first, *pointed = said.err.splitlines()
        assert not pointed or (len(pointed) == 2 and pointed[1].strip() == "^"), said.err
        return said.status, first


@pytest.fixture
def typed(
    cli_place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Typed]:
    """Give what runs commands in this process, without settings of the environment."""
    monkeypatch.delenv("REDIQ_URL", raising=False)
    thresholds = gc.get_threshold()
    yield Typed(cli_place, capsys)
    if gc.get_threshold() != thresholds:  # `rediq bench` configures it as `rediq run` does
        gc.set_threshold(*thresholds)
        gc.unfreeze()


app = rediq.App()


@app.task("good")
async def good(number: int = 1) -> dict[str, int]:
    """Return a result, with progress."""
    rediq.current_task().progress(50, HOSTILE)
    return {"twice": number * 2}


@app.task("bad", max_retry=0)
async def bad(text: str = HOSTILE) -> None:
    """Fail with a text."""
    raise ValueError(text)


def put(place: Place, *tasks: rediq.Task[Any]) -> list[str]:
    """Enqueue tasks, and return their ids."""

    async def enqueue() -> list[str]:
        async with place.client() as client:
            return [handle.id for handle in await client.enqueue_many(tasks)]

    return trio.run(enqueue)


def work(place: Place, *queues: str) -> None:
    """Run all that is pending in the queues."""

    async def serve() -> None:
        options: Any = {"queues": queues, "key_prefix": place.prefix, "burst": True}
        with trio.fail_after(WITHIN):
            async with rediq.serve(app, place.url, **options) as server:
                await server.wait_stopped()

    trio.run(serve)


def state_of(place: Place, task_id: str) -> str:
    async def read() -> str:
        async with place.client() as client:
            return (await client.task(task_id).info()).state.value

    return trio.run(read)


def stats_of(place: Place, queue: str) -> QueueStats:
    async def read() -> QueueStats:
        async with place.client() as client:
            return await client.queue(queue).stats()

    return trio.run(read)


def task(kind: str = "good", queue: str = "emails", **options: Any) -> rediq.Task[Any]:
    return rediq.Task(kind, options.pop("payload", {}), queue=queue, **options)


# rediq alone, and status


def test_alone_it_shows_the_state_in_ten_lines(typed: Typed) -> None:
    said = typed(flags=[*typed.place.flags])
    assert (said.status, said.err) == (0, "")
    assert said.lines == [
        "no queue was ever used here",
        "next: rediq run module:app, rediq enqueue TYPE, rediq --help",
    ]
    put(typed.place, *(task(queue=f"q{n}") for n in range(7) for _ in range(n + 1)))
    said = typed()
    assert (said.status, len(said.lines)) == (0, 10)
    assert said.lines[0].split() == [
        "queue", "pending", "active", "scheduled", "retry", "dead", "oldest", "workers", "state", "rate",
    ]  # fmt: skip
    assert [line.split()[:2] for line in said.lines[1:6]] == [
        ["q6", "7"], ["q5", "6"], ["q4", "5"], ["q3", "4"], ["q2", "3"],
    ]  # fmt: skip
    assert said.lines[6:] == [
        "and 2 queues more: rediq queue list",
        "0 workers, 0 tasks running",
        "critical  q0: no live worker serves it, and it has 1 waiting task (and 6 more: rediq status)",
        "next: start one: rediq run module:app --queues q0",
    ]
    (found,) = typed("--json").objects
    assert [queue["name"] for queue in found["queues"]] == [f"q{n}" for n in range(7)]
    assert len(found["alerts"]) == 7


def test_status_is_1_when_there_is_an_alert(typed: Typed) -> None:
    said = typed("status")
    assert (said.status, said.lines) == (0, ["nothing is wrong (0 queues, 0 workers)"])
    put(typed.place, task("bad"))
    work(typed.place, "emails")
    said = typed("status")
    assert said.status == 1
    steps = [line.strip() for line in said.lines if line.startswith(" ")]
    assert steps == ["rediq failures emails"] * 3
    assert said.lines[::2][0] == "warn      emails: 1 task died in the last 10 min"
    assert said.lines[::2][2] == "warn      emails: it has 1 dead task"
    assert re.fullmatch(
        r"warn {6}emails: 1 kind of failure was first seen within 1 h: \w{12}, bad: ValueError: "
        r"a\\x1b\[31mb\\nc.*",
        said.lines[::2][1],
    )
    assert typed("status", "--fail-on=critical").status == 0
    (found,) = typed("status", "--json").objects
    assert found["rediq"] == 1
    assert [alert["rule"] for alert in found["alerts"]] == ["dead-growing", "new-failure", "dead"]
    assert found["unknown"] == {}
    put(typed.place, task())
    assert typed("status", "--fail-on=critical").status == 1
    assert typed("status", "--fail-on=none").status == 0


def test_status_sends_alerts_on(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rediq_trio.observe.posting.FIRST_PAUSE", 0.01)
    put(typed.place, task())
    with receiving() as receiver:
        assert typed("status", "--post", receiver.url).status == 1
        assert receiver.changes() == [("raised", "no-worker", "emails")]
        receiver.answers = [500] * 3
        said = typed("status", "--post", receiver.url)
        assert (said.status, said.err) == (
            1, "rediq: alerts were not accepted by 127.0.0.1: it answered 500\n",
        )  # fmt: skip
        assert receiver.answers == []
        receiver.bodies.clear()
        said = typed("status", "--watch=0.1", "--timeout=1", "--post", receiver.url)
        assert said.status == 1
        assert said.lines.count("critical  emails: no live worker serves it, and it has 1 waiting task") > 1
        assert receiver.changes() == [("raised", "no-worker", "emails")]
    for flags, why in ((["--post=x"], "--post must be a URL"), (["--post=http://h/", "--brief"], "--brief")):
        status, line = typed.one_line("status", *flags)
        assert status == 2
        assert why in line


def test_status_shows_what_it_could_not_judge(capsys: pytest.CaptureFixture[str]) -> None:
    view = FleetView(at=dt.datetime.now(dt.UTC), unknown={"memory": "no\x1b right"})
    assert show_alerts(Output(False, None), view) == ()
    assert capsys.readouterr().out.splitlines() == [
        r"unknown   memory: no\x1b right", "nothing is wrong (0 queues, 0 workers)",
    ]  # fmt: skip
    show_alerts(Output(True, None), view)
    assert json.loads(capsys.readouterr().out)["unknown"] == {"memory": "no\x1b right"}


# enqueue


@pytest.mark.parametrize(
    ("words", "payload"),
    [
        ((), {}),
        (("to=ann", "n=3", "deep=[1,2]", "text=1x"), {"to": "ann", "n": 3, "deep": [1, 2], "text": "1x"}),
        (('{"a": {"b": null}}',), {"a": {"b": None}}),
        (("[1, 2]",), [1, 2]),
        (("a==",), {"a": "="}),
    ],
)  # fmt: skip
def test_a_task_is_enqueued_with_its_payload(
    words: tuple[str, ...], payload: object, typed: Typed
) -> None:
    said = typed("enqueue", "good", *words, "--queue=emails", "--unchecked")
    assert (said.status, said.err, len(said.lines)) == (0, "", 1)
    (found,) = typed("task", "show", said.lines[0], "--json").objects
    assert (found["type"], found["payload"], found["queue"]) == ("good", payload, "emails")


def test_options_of_a_task_are_flags_and_may_stand_between_its_words(typed: Typed) -> None:
    said = typed(
        "enqueue", "good", "--queue", "emails", "a=1", "--priority=3", "--id=x", "--max-retry=7",
        "--unique=u", "--meta", "k=v", "--meta=l=w=x", "--delay", "10m", "b=2", "--json",
    )  # fmt: skip
    assert said.objects == [{"rediq": 1, "id": "emails/x", "created": True}]
    (found,) = typed("task", "show", "emails/x", "--json").objects
    assert found["payload"] == {"a": 1, "b": 2}
    assert (found["priority"], found["max_retry"], found["state"]) == (3, 7, "scheduled")
    assert found["metadata"] == {"k": "v", "l": "w=x"}
    status, said_twice = typed.one_line("enqueue", "good", "--queue=emails", "--id=x")
    assert (status, said_twice) == (1, "rediq: task 'emails/x' exists already")


def test_a_task_that_is_waited_for_shows_its_progress_and_its_end(typed: Typed) -> None:
    async def both() -> Said:
        options: Any = {"queues": ["emails", "sad"], "key_prefix": typed.place.prefix}
        async with rediq.serve(app, typed.place.url, **options):
            call = ["enqueue", "good", "number=21", "--queue=emails", "--wait"]
            done = await trio.to_thread.run_sync(lambda: cli_call(*call, *typed.place.flags))
            call = ["enqueue", "bad", "--queue=sad", "--wait"]
            failed = await trio.to_thread.run_sync(lambda: cli_call(*call, *typed.place.flags))
        assert failed.returncode == 1
        assert f"ValueError: {ESCAPED}" in failed.stdout
        return Said(done.returncode, done.stdout, done.stderr)

    said = trio.run(both)
    assert (said.status, said.err) == (0, "")
    assert said.lines[0].startswith("emails/")
    assert "\x1b" not in said.out
    assert said.lines[-1].split(None, 1) == ["result", '{"twice": 42}']


def test_json_lines_are_enqueued_in_bulk(typed: Typed) -> None:
    lines = [
        {"type": "good", "payload": {"number": n}, "queue": "emails", "id": f"t{n}", "priority": n}
        for n in range(3)
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    said = typed.piped(text, "enqueue", "-")
    assert (said.status, said.out) == (0, "3 tasks enqueued\n")
    why = "no live worker of emails said what it takes"
    assert said.err == f"rediq: the payloads of good were not checked: {why}\n"
    said = typed.piped(text, "enqueue", "-", "--unchecked")
    assert said.err == ""
    assert (said.status, said.out) == (0, "0 tasks enqueued, 3 there already\n")
    found = typed("task", "list", "emails", "--json").objects
    assert [(each["id"], each["payload"]) for each in found] == [
        (f"emails/t{n}", {"number": n}) for n in range(3)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "a"}\n{"typ": 1}', 'line 2: must be an object like {"type": "mail:send"'),
        ('{"type": "a"}\n{"type": ', "line 2: no JSON at character 10, near '{\"type\": ': Expecting"),
        ('{"type": "a", "prority": 1}', "line 1: has prority, which is no option of a task"),
        ('{"type": "a", "priority": 101}', "line 1: priority=101: must be"),
        ('{"type": "a", "priority": "x"}', "line 1: priority='x': must be"),
        ('{"type": "a", "depends_on": 5}', "line 1: depends_on=5: must be"),
        ('{"type": "a", "unique": 5}', "line 1: "),
        ('{"type": "a", "run_at": "soon"}', "line 1: run_at='soon': must be like 2026-"),
        (b'{"type": "a"}\n\xff\n', "line 2: is not UTF-8 at byte 1"),
        (
            '{"type": "a"}\n\n{"type": "a", "payload": "' + "x" * 600_000 + '"}',
            "line 3: payload: 600,005 bytes packed; at most 524,288 are allowed. Keep large data elsewhere",
        ),
        ('{"type": "a", "payload": ' + "[" * 66 + "]" * 66 + "}", "line 1: payload"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_enqueued(
    text: str | bytes, said: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rediq_trio.cli.operate import enqueue

    def lines() -> Any:
        raw = text if isinstance(text, bytes) else text.encode()
        return map(stdin._text, enumerate(raw.splitlines(), 1))

    from rediq_trio.cli.operate import stdin

    monkeypatch.setattr(enqueue, "input_lines", lines)
    found = typed("enqueue", "-")
    assert (found.status, found.out) == (2, "")
    done, why = found.err.splitlines()
    assert done == "the 0 tasks of the lines before were enqueued"
    assert why.startswith(f"rediq: {said}")
    assert typed("queue", "list").lines == ["no queue was ever used here"]


# queue


def test_a_queue_is_listed_shown_paused_and_resumed(typed: Typed) -> None:
    put(typed.place, task(), task(), task(queue="other", delay=60))
    said = typed("queue", "list")
    assert [line.split() for line in said.lines[1:]] == [
        ["emails", "2", "0", "0", "0", "0", *said.lines[1].split()[6:-2], "0", "open"],
        ["other", "0", "0", "1", "0", "0", "-", "0", "open"],
    ]
    assert [each["name"] for each in typed("queue", "list", "--json", "other").objects] == ["other"]
    said = typed("queue", "pause", "emails", "--reason", HOSTILE)
    assert (said.status, said.out) == (0, "emails is paused\n")
    seen = typed("queue", "show", "emails")
    assert seen.lines[0] == "queue emails"
    assert seen.lines[1].split()[:3] == ["state", "paused", "by"]
    assert seen.lines[1].endswith(f": {ESCAPED}")
    assert "warn: it is paused with 2 pending tasks. rediq queue resume emails" in seen.lines
    (found,) = typed("queue", "show", "emails", "--json").objects
    assert found["stats"] | {"oldest_pending_age": 0} == plain(
        attrs.evolve(stats_of(typed.place, "emails"), oldest_pending_age=0)
    )
    assert typed("queue", "resume", "emails", "--json").objects == [
        {"rediq": 1, "queue": "emails", "paused": False}
    ]
    assert not stats_of(typed.place, "emails").paused


def test_limits_are_shown_and_set(typed: Typed) -> None:
    put(typed.place, task())
    assert typed("queue", "limit", "emails").lines == ["limits of emails", "  none"]
    said = typed("queue", "limit", "emails", "--concurrency=5", "--rate=100/1m", "--max-pending=9")
    assert said.lines[1:] == ["  limit        5 at once, 100 in 1 min", "  max pending  9"]
    said = typed("queue", "limit", "emails", "--key=acme", "--rate=1/s")
    assert said.lines[-1].split(None, 3) == ["limit", "of", "acme", "1 in 1.0 s"]
    (found,) = typed("queue", "limit", "emails", "--concurrency=none", "--json").objects
    assert (found["limits"]["concurrency"], found["limits"]["max_pending"]) == (None, 9)


def test_targets_are_shown_and_set(typed: Typed) -> None:
    put(typed.place, task())
    none = {"latency": None, "failures": None}
    assert typed("queue", "targets", "emails").lines == ["targets of emails", "  none"]
    assert typed("queue", "targets", "emails", "--json").objects == [
        {"rediq": 1, "queue": "emails", "targets": none}
    ]
    said = typed("queue", "targets", "emails", "--latency=30s", "--failures=1%", "--dry-run")
    assert (
        said.err
        == "would set the targets of emails: latency 30s, failures 1%; nothing was changed\n"
    )
    assert stats_of(typed.place, "emails").targets == rediq.QueueTargets()
    said = typed("queue", "targets", "emails", "--latency=30s", "--failures=1%")
    rows = ["  target latency   30 s", "  target failures  1 %"]
    assert (said.status, said.lines) == (0, ["targets of emails", *rows])
    shown_rows = [line.split(None, 2) for line in typed("queue", "show", "emails").lines]
    assert ["target", "latency", "30 s"] in shown_rows
    assert ["target", "failures", "1 %"] in shown_rows
    said = typed("queue", "targets", "emails", "--latency=none", "--failures=0.25", "--json")
    assert said.objects[0]["targets"] == {"latency": None, "failures": 0.25}
    assert stats_of(typed.place, "emails").targets == rediq.QueueTargets(failures=0.25)
    assert typed("queue", "targets", "emails", "--failures=none").lines[1:] == ["  none"]


def test_a_flush_says_how_many_and_needs_a_yes(typed: Typed) -> None:
    put(typed.place, task(), task())
    status, said = typed.one_line("queue", "flush", "emails")
    assert status == 2
    assert said.startswith("rediq: this would delete 2 tasks of emails, and nobody can be asked: ")
    dry = typed("queue", "flush", "emails", "--dry-run", "--json")
    assert dry.err == "would delete 2 tasks of emails; nothing was changed\n"
    assert dry.objects == [{"rediq": 1, "dry_run": True, "would": "delete 2 tasks of emails"}]
    assert stats_of(typed.place, "emails").pending == 2
    assert typed("queue", "flush", "emails", "--yes").out == "2 tasks deleted\n"
    assert stats_of(typed.place, "emails").pending == 0


def test_a_queue_is_removed_when_it_is_empty(typed: Typed) -> None:
    put(typed.place, task())
    status, said = typed.one_line("queue", "remove", "emails", "--yes")
    assert status == 1
    assert said.startswith("rediq: queue emails is not empty: ")
    typed("queue", "flush", "emails", "--yes")
    assert typed("queue", "remove", "emails", "--yes", "--json").objects == [
        {"rediq": 1, "queue": "emails", "removed": True}
    ]
    assert typed("queue", "list").lines == ["no queue was ever used here"]


def test_the_series_of_a_queue_are_shown(typed: Typed) -> None:
    put(typed.place, task(), task())
    before = typed("queue", "series", "emails").lines[-1]
    assert before.startswith("not sampled from ")
    assert before.endswith(" for 5 min: 2 enqueued")
    work(typed.place, "emails")
    since = "--since=10m"
    (found,) = typed("queue", "series", "emails", since, "--json").objects
    said = typed("queue", "series", "emails", since)
    counts = [each["completed"] for each in (*found["points"], *found["gaps"])]
    assert found["step"] == 10
    assert sum(counts) == 2
    rows = [line for line in said.lines if line.startswith("20")]
    gaps = [line for line in said.lines if line.startswith("not sampled from ")]
    assert [len(rows), len(gaps)] == [len(found["points"]), len(found["gaps"])]
    assert (
        sum(int(row.split()[3]) for row in rows) + sum("2 completed" in gap for gap in gaps) * 2
        == 2
    )
    status, line = typed.one_line("queue", "series", "emails", "--since=31d")
    assert (status, line.startswith("rediq: --since: ")) == (2, True)


def test_the_attempts_of_queues_are_shown_by_type(typed: Typed) -> None:
    put(typed.place, task(), task())
    assert typed("stats").lines == ["no attempts ended in emails in the last 1 h"]
    work(typed.place, "emails")
    (found,) = typed("stats", "emails", "--json").objects
    assert (found["queue"], found["type"], found["completed"]) == ("emails", "good", 2)
    assert (found["attempts"], found["failure_rate"], found["wait"]["p50"] > 0) == (2, 0.0, True)
    heads, row = typed("stats").lines
    assert heads.split()[:5] == ["queue", "type", "attempts", "rate", "failures"]
    assert row.split()[:3] == ["emails", "good", "2"]
    assert typed("stats", "--type", "good", "--since", "24h").lines[1].split()[2] == "2"
    none = ["no attempts that the filters choose ended in emails in the last 1 h"]
    assert typed("stats", "--failing").lines == typed("stats", "--type=no").lines == none
    for arguments in (("--since=25h",), ("--since=1e300",), ("--limit=0",)):
        status, line = typed.one_line("stats", *arguments)
        assert (status, arguments[0][:7] in line) == (2, True)
    assert typed.one_line("stats", "nobody")[0] == 3
    (shown_now,) = typed("queue", "show", "emails", "--json").objects
    assert 0 < shown_now["series_bytes"] < 10_000


def test_a_type_that_no_live_worker_knows_is_named(typed: Typed, cli_start: Start) -> None:
    # Nobody has told its types.
    why = "no live worker of default said what god takes"
    assert typed("enqueue", "god", "--queue=default").err == f"rediq: the payload was not checked: {why}\n"
    worker = cli_start("run", "served:app", "--name=w", *typed.place.flags)

    async def told() -> None:
        async with typed.place.client() as client:

            async def look() -> bool:
                return bool(await client.workers())

            await eventually(look)

    trio.run(told)
    said = "rediq: no live worker of default knows the type slep; did you mean sleep?\n"
    listed = typed("task", "list", "default", "--type=slep")
    assert (listed.status, listed.err) == (0, said)
    assert typed("enqueue", "slep", "--queue=default").err == said
    assert typed("task", "list", "default", "--type=sleep", "--state=dead").err == ""
    assert typed("worker", "stop", "w", "--grace=0s", "--yes").status == 0
    assert worker.end() == 0


# task and dead


def test_tasks_are_listed_page_by_page(typed: Typed) -> None:
    ids = put(typed.place, *(task(id=f"t{n}") for n in range(5)))
    said = typed("task", "list", "emails", "--limit=2")
    assert [line.split()[0] for line in said.lines[1:-1]] == ids[:2]
    seen, page = [], said
    while page.lines[-1].startswith("next page: --after "):
        seen += [line.split()[0] for line in page.lines[1:-1]]
        cursor = page.lines[-1].removeprefix("next page: --after ")
        page = typed("task", "list", "emails", "--limit=2", "--after", cursor)
        assert page.status == 0
    assert seen + [line.split()[0] for line in page.lines[1:]] == ids
    last = typed("task", "list", "emails", "--json").objects[-1]["cursor"]
    end = typed("task", "list", "emails", "--after", last)
    assert (end.status, end.lines) == (0, ["no more pending tasks in emails"])
    newest = typed("task", "list", "emails", "--newest", "--json").objects
    assert [each["id"] for each in newest] == ids[::-1]


def test_a_task_is_shown_with_its_text_as_escapes(typed: Typed) -> None:
    (task_id,) = put(typed.place, task("bad", metadata={"k": HOSTILE}, payload={"text": HOSTILE}))
    work(typed.place, "emails")
    for arguments in (("task", "show", task_id), ("dead", "list"), ("dead", "show", task_id),
                      ("task", "list", "--state=dead")):  # fmt: skip
        said = typed(*arguments)
        assert said.status == 0
        assert ESCAPED[:20] in said.out
        assert not {*"\x1b\u202e\x9b\u2028"} & {*said.out}
    said = typed("task", "show", task_id)
    rows = [line.split(None, 1) for line in said.lines if line.startswith("  ")]
    payload = json.dumps({"text": HOSTILE}, ensure_ascii=False)
    assert ["payload", shown(payload)] in rows
    assert any(line.startswith("attempt 1, delivery 1: failed at ") for line in said.lines)
    assert any(line.lstrip().startswith("raise ValueError(text)") for line in said.lines)
    (found,) = typed("task", "show", task_id, "--json").objects
    assert {*found} - {"rediq"} == {field.name for field in attrs.fields(TaskInfo)}
    assert (found["state"], found["metadata"]) == ("dead", {"k": HOSTILE})
    assert typed("task", "show", task_id, "--json").out.isascii()


def test_tasks_are_cancelled_retried_and_deleted(typed: Typed) -> None:
    first, second, dead = put(typed.place, task(), task(), task("bad", queue="sad"))
    work(typed.place, "sad")
    said = typed("task", "cancel", first, "--yes", second, "emails/none")
    assert (said.status, said.lines) == (
        3, [f"{first}: cancelled", f"{second}: cancelled", "emails/none: not there"],
    )  # fmt: skip
    assert state_of(typed.place, first) == "cancelled"
    said = typed("task", "retry", first, dead, "--yes")
    assert said.lines == [f"{first}: ready again: pending", f"{dead}: ready again: pending"]
    said = typed("task", "retry", first, "--yes", "--json")
    assert said.status == 1
    assert said.objects == [{"rediq": 1, "id": first, "outcome": "not changed: it is pending"}]
    status, line = typed.one_line("task", "delete", first, second)
    assert status == 2
    assert "this would delete 2 tasks" in line
    assert typed("task", "delete", first, "--yes").lines == [f"{first}: deleted"]
    assert typed("task", "delete", first, "--yes").status == 3
    said = typed.piped(f"{second}\n{second} {dead}\n", "task", "delete", "-", "--yes")
    assert said.lines == [f"{second}: deleted", f"{dead}: deleted"]


def test_waiting_tasks_are_moved_in_time_and_place(typed: Typed) -> None:
    (later,) = put(typed.place, task(id="a", delay=3600, payload={"number": 4}))
    assert typed("task", "run-now", later).lines == [f"{later}: ready now"]
    assert typed("task", "run-now", later).lines == [f"{later}: ready already"]
    said = typed("task", "reschedule", later, "--delay=2h")
    assert said.lines[0].startswith(f"{later}: due at ")
    assert said.lines[0].endswith("(in 2 h)")
    assert state_of(typed.place, later) == "scheduled"
    said = typed("task", "again", later)
    assert said.lines[0].startswith(f"{later}: enqueued again as emails/")
    new = said.lines[0].split()[-1]
    assert typed("task", "show", new, "--json").objects[0]["payload"] == {"number": 4}
    status, line = typed.one_line("task", "requeue", later, "--queue=other")
    assert (status, "this would move emails/a to other" in line) == (2, True)
    said = typed("task", "requeue", later, "--queue=other", "--yes")
    assert said.lines[0].startswith(f"{later}: is now other/")
    work(typed.place, "emails")
    said = typed("task", "run-now", new)
    assert said.status == 1
    assert f"not changed: task '{new}' is completed" in said.out


def test_a_task_is_waited_for(typed: Typed) -> None:
    done, dead = put(typed.place, task(payload={"number": 3}), task("bad"))
    work(typed.place, "emails")
    said = typed("task", "wait", done)
    assert said.status == 0
    assert said.lines[-1].split(None, 1) == ["result", '{"twice": 6}']
    assert typed("task", "wait", dead).status == 1
    (other,) = put(typed.place, task())
    status, line = typed.one_line("task", "wait", other, "--timeout=100ms")
    assert status == 1
    assert "within 100 ms" in line


def test_all_dead_tasks_are_retried_or_deleted(typed: Typed) -> None:
    put(typed.place, *(task("bad") for _ in range(3)))
    work(typed.place, "emails")
    status, line = typed.one_line("dead", "retry-all", "emails")
    assert (status, "this would retry 3 dead tasks of emails" in line) == (2, True)
    assert typed("dead", "retry-all", "emails", "--yes").out == "3 tasks ready again\n"
    work(typed.place, "emails")
    assert typed("dead", "delete-all", "emails", "--yes", "--json").objects == [
        {"rediq": 1, "queue": "emails", "deleted": 3}
    ]
    assert typed("dead", "list").lines == ["no dead tasks in emails"]
    assert typed("task", "list").lines == [
        "no pending tasks in emails; 'rediq queue list' counts the tasks in other states, and --state lists them"
    ]


# A filter


def test_tasks_are_found_by_a_filter(typed: Typed) -> None:
    ids = put(
        typed.place, task("bad", payload={"text": "no"}, limit_key="ann", priority=7),
        task("bad", metadata={"k": HOSTILE, "n": "1"}), task(metadata={"k": "v"}),
        task(queue="other", metadata={"n": "1"}),
    )  # fmt: skip

    def found(*flags: str, noun: str = "task") -> list[str]:
        said = typed(noun, "list", *flags, "--json")
        assert (said.status, said.err) == (0, "")
        return [ids.index(each["id"]) for each in said.objects]

    assert found("--type=bad") == [1, 0]  # in the order of claims: those with a limit key last
    assert found("--type=bad", "--newest") == [0, 1]
    assert found("--type=bad", "--limit=1") == [1]
    assert found("emails", "--meta", f"k={HOSTILE}", "--meta=n=1") == [1]
    assert found("--meta=n=1") == [1, 3]
    assert found("emails", "--limit-key=ann") == [0]
    assert found("emails", "--priority=7", "--type=good") == []
    assert found("--older=1h") == []
    assert found("--younger=1h", "--type=good") == [2, 3]
    said = typed("task", "list", "emails", "--type=bad", "--limit=2")
    assert [line.split()[0] for line in said.lines[1:-1]] == [ids[1], ids[0]]
    assert said.lines[-1] == "the search ended with 2: there may be more, see --limit"
    assert typed("task", "list", "emails", "--type=x").lines == ["no such pending tasks in emails"]
    work(typed.place, "emails")
    (kind,) = (
        each["kind"] for each in typed("failures", "--json").objects if each["message"] == "no"
    )
    assert found("--kind", kind, noun="dead") == [0]
    assert found("--error=\x1b[31m", noun="dead") == [1]
    assert found("--state=dead", "--error=no") == [0]
    assert not {*"\x1b\u202e"} & {*typed("dead", "list", "--error=\x1b[31m").out}


def test_dead_tasks_that_a_filter_chooses_are_retried_or_deleted(typed: Typed) -> None:
    no, other, hostile, left = put(
        typed.place, task("bad", payload={"text": "no"}, priority=7),
        task("bad", payload={"text": "other"}), task("bad", limit_key="ann"), task("bad"),
    )  # fmt: skip
    work(typed.place, "emails")
    status, line = typed.one_line("dead", "retry", "emails", "--error=\x1b[31m", "--older=0s")
    what = r"retry 2 dead tasks of emails with error \x1b[31m, an age above 0 s"
    assert (status, f"this would {what}," in line) == (2, True)
    said = typed("dead", "retry", "emails", "--type=bad", "--priority=7", "--dry-run", "--json")
    what = "retry 1 dead task of emails with type bad, priority 7"
    assert said.objects == [{"rediq": 1, "dry_run": True, "would": what}]
    said = typed("dead", "retry", "emails", "--priority=7", "--yes")
    assert (said.status, said.out) == (0, "1 task ready again\n")
    assert state_of(typed.place, no) == "pending"
    said = typed("dead", "delete", "emails", "--limit-key=ann", "--yes", "--json")
    assert said.objects == [{"rediq": 1, "queue": "emails", "deleted": 1, "refused": 0}]
    said = typed("dead", "delete", "emails", "--limit-key=ann")
    assert (said.status, said.out) == (0, "no dead tasks of emails with limit key ann\n")
    said = typed("dead", "delete", other, hostile, no, "--yes")
    assert (said.status, said.lines) == (
        3, [f"{other}: deleted", f"{hostile}: not there", f"{no}: not changed: it is pending"],
    )  # fmt: skip
    assert typed("dead", "retry", left, "--yes").lines == [f"{left}: ready again: pending"]


# A file


def test_tasks_are_written_to_a_file_and_come_back(typed: Typed, tmp_path: Path) -> None:
    no, hostile, _ = put(
        typed.place, task("bad", payload={"text": "no"}), task("bad", metadata={"k": HOSTILE}),
        task(),
    )  # fmt: skip
    work(typed.place, "emails")
    file = str(tmp_path / "dead.jsonl")
    said = typed("task", "export", "emails", file, "--state=dead")
    assert (said.status, said.out) == (0, f"2 dead tasks of emails written to {file}\n")
    status, line = typed.one_line("task", "export", "emails", file, "--state=dead")
    assert (status, "must be of a file that does not exist yet" in line) == (2, True)
    one = str(tmp_path / "one\x1b[2J.jsonl")
    said = typed("task", "export", "emails", one, "--state=dead", "--error=no", "--json")
    assert said.objects == [
        {"rediq": 1, "queue": "emails", "state": "dead", "exported": 1, "file": one}
    ]
    assert typed("dead", "delete", "emails", "--type=bad", "--yes").status == 0
    said = typed("task", "import", "emails", one, "--dry-run")
    assert "\x1b" not in said.err
    assert said.err.startswith("would enqueue the tasks of ")
    assert typed("task", "show", no).status == 3
    said = typed("task", "import", "emails", one)
    assert (said.status, said.out, said.err) == (0, "1 task enqueued in emails\n", "")
    assert state_of(typed.place, no) == "pending"
    said = typed("task", "import", "emails", file, "--json")
    assert said.status == 1
    assert said.objects == [{"rediq": 1, "queue": "emails", "enqueued": 1, "refused": 1}]
    said = typed("task", "import", "emails", file)
    assert said.lines[1] == "2 tasks refused: the id exists, or the unique key is taken"
    (found,) = typed("task", "show", hostile, "--json").objects
    assert (found["state"], found["metadata"]) == ("pending", {"k": HOSTILE})
    assert typed("task", "import", "elsewhere", one).out == "1 task enqueued in elsewhere\n"


def test_a_file_that_cannot_be_used_is_named_and_nothing_is_enqueued(
    typed: Typed, tmp_path: Path
) -> None:
    put(typed.place, task())
    cut, away = tmp_path / "cut\x1b.jsonl", tmp_path / "away" / "x"
    assert typed("task", "export", "emails", str(tmp_path / "whole"), "--state=pending").status == 0
    lines = (tmp_path / "whole").read_text("utf-8").splitlines(keepends=True)
    cut.write_text("".join(lines[:-1]), "utf-8")
    for arguments, said in (
        (("import", "emails", str(cut)), r"cut\x1b.jsonl: the task file was cut"),
        (("import", "emails", str(away)), f"cannot read {away}: No such file or directory"),
        (("import", "\x1b", str(cut)), r"QUEUE='\x1b': must be"),
        (("import", "emails", "-"), "FILE='-': must be the path of a file"),
        (("export", "emails", str(away), "--state=dead"), f"cannot write {away}: No such file"),
        (("export", "emails", str(away)), "required: --state"),
        (
            ("export", "emails", str(cut), "--state=dead", "--priority=101"),
            "--priority: priority=101",
        ),
    ):
        status, line = typed.one_line("task", *arguments)
        assert (status, said in line, "\x1b" in line) == (2, True, False), line
    assert typed("task", "export", "emials", str(away), "--state=dead").status == 3
    assert stats_of(typed.place, "emails").enqueued == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [cut.name, "whole"]


# failures


def test_what_has_failed_is_listed_by_kind_and_shown(typed: Typed) -> None:
    assert typed("failures").lines == ["nothing has failed in any queue"]
    ids = put(typed.place, *(task("bad") for _ in range(3)), task("bad", payload={"text": "no"}),
              task("bad", queue="sad"))  # fmt: skip
    work(typed.place, "emails", "sad")
    said = typed("failures", "emails")
    assert (said.status, said.lines[0].split()) == (
        0, ["kind", "queue", "count", "first", "last", "type", "error", "type", "place", "message"],
    )  # fmt: skip
    assert len(said.lines) == 3
    assert not {*"\x1b\u202e\x9b\u2028"} & {*said.out}
    for arguments in (
        ("failures",),
        ("failures", "list"),
        ("failures", "--limit=5", "emails", "sad"),
    ):
        found = typed(*arguments, "--json").objects
        assert sorted((each["queue"], each["count"]) for each in found) == [
            ("emails", 1), ("emails", 3), ("sad", 1),
        ]  # fmt: skip
        times = [each["last_seen"] for each in found]
        assert times == sorted(times, reverse=True)
    assert typed("failures", "--limit=1").lines[-1] == "and 2 older kinds: pass --limit"
    (many,) = (each for each in found if each["count"] == 3)
    assert (many["type"], many["error_type"], many["message"]) == ("bad", "ValueError", HOSTILE)
    assert sorted(many["task_ids"]) == sorted(ids[:3])
    said = typed("failures", "show", "emails", many["kind"])
    rows = [line.split(None, 1) for line in said.lines if line.startswith("  ")]
    assert said.lines[0] == f"kind {many['kind']} of emails"
    assert ["message", ESCAPED] in rows
    assert [row[1] for row in rows if row[0] == "task"] == many["task_ids"]
    assert said.lines[-3:] == [
        f"next: rediq task show {many['task_ids'][0]}",
        f"next: rediq failures retry emails {many['kind']}",
        f"next: rediq failures delete emails {many['kind']}",
    ]
    assert typed("failures", "show", "emails", many["kind"], "--json").objects == [many]


def test_the_dead_tasks_of_a_kind_are_retried_or_deleted(typed: Typed) -> None:
    *many, one = put(
        typed.place, *(task("bad") for _ in range(3)), task("bad", payload={"text": "no"})
    )
    work(typed.place, "emails")
    kinds = {each["count"]: each["kind"] for each in typed("failures", "--json").objects}
    status, line = typed.one_line("failures", "retry", "emails", kinds[3])
    what = f"retry 3 dead tasks of emails of the kind {kinds[3]} (ValueError)"
    assert (status, f"this would {what}," in line) == (2, True)
    said = typed("failures", "retry", "emails", kinds[3], "--dry-run")
    assert (said.status, said.err) == (0, f"would {what}; nothing was changed\n")
    assert {state_of(typed.place, each) for each in (*many, one)} == {"dead"}
    said = typed("failures", "retry", "emails", kinds[3], "--yes")
    assert (said.status, said.out, said.err) == (0, "3 tasks ready again\n", "")
    assert {state_of(typed.place, each) for each in many} == {"pending"}
    assert state_of(typed.place, one) == "dead"
    assert typed("failures", "delete", "emails", kinds[1], "--yes", "--json").objects == [
        {"rediq": 1, "queue": "emails", "deleted": 1, "refused": 0}
    ]
    assert typed("task", "show", one).status == 3
    said = typed("failures", "delete", "emails", kinds[1])
    assert said.status == 0
    assert said.out.startswith("no dead tasks of emails of the kind ")
    near = kinds[3][:-1] + ("0" if kinds[3][-1] != "0" else "1")
    status, line = typed.one_line("failures", "show", "emails", near)
    assert (status, line.endswith(f"did you mean {kinds[3]}?")) == (3, True)
    status, line = typed.one_line("failures", "retry", "emails", HOSTILE, "--yes")
    assert (status, "see 'rediq failures emails'" in line) == (3, True)
    assert not {*"\x1b\u202e\x9b\u2028"} & {*line}


def test_a_dead_task_that_has_to_stay_is_counted_with_status_1(typed: Typed) -> None:
    unique = rediq.Unique(key="k")
    put(typed.place, task("bad", unique=unique))
    work(typed.place, "emails")
    put(typed.place, task(unique=unique))
    (kind,) = typed("failures", "--json").objects
    said = typed("failures", "retry", "emails", kind["kind"], "--yes")
    assert (said.status, said.lines) == (
        1, ["0 tasks ready again", "1 task refused: see 'rediq task list' for what is left"],
    )  # fmt: skip


# worker and schedule


def test_workers_are_listed_and_shown(typed: Typed) -> None:
    assert typed("worker", "list").lines == [
        "no worker is alive: start one with rediq run module:app"
    ]

    async def look() -> tuple[Said, ...]:
        options: Any = {
            "queues": ["emails"],
            "key_prefix": typed.place.prefix,
            "name": "worker-one",
        }
        async with rediq.serve(app, typed.place.url, **options):
            async with typed.place.client() as client:
                while not await client.workers():
                    await trio.sleep(0.02)
            calls = (
                ("list",),
                ("show", "worker-one"),
                ("show", "worker-one", "--json"),
                ("show", "worker-on"),
            )
            return tuple([await run(*call) for call in calls])

    async def run(*call: str) -> Said:
        def in_thread() -> Said:
            found = cli_call("worker", *call, *typed.place.flags)
            return Said(found.returncode, found.stdout, found.stderr)

        return await trio.to_thread.run_sync(in_thread)

    listed, seen, as_json, other = trio.run(look)
    assert listed.lines[1].split()[0] == "worker-one"
    assert seen.lines[0] == "worker worker-one"
    assert ["types", "bad,", "good"] in [line.split() for line in seen.lines]
    assert {*as_json.objects[0]} - {"rediq"} == {field.name for field in attrs.fields(WorkerInfo)}
    assert (other.status, other.err) == (
        3, "rediq: there is no live worker worker-on; did you mean worker-one?\n",
    )  # fmt: skip


def test_a_schedule_is_added_shown_run_paused_and_removed(typed: Typed) -> None:
    assert typed("schedule", "list").lines == [
        "no schedules: declare one with app.schedule, or rediq schedule add"
    ]
    said = typed(
        "schedule", "add", "nightly", "--cron=0 2 * * *", "good", "--queue=emails", "number=2"
    )
    assert (said.status, said.lines[0]) == (0, "schedule nightly")
    assert typed("schedule", "list").lines[1].split()[:3] == ["nightly", "emails", "good"]
    said = typed("schedule", "next", "nightly", "-n", "3")
    assert [line.split()[1] for line in said.lines] == ["02:00:00"] * 3
    assert typed("schedule", "run", "nightly", "--dry-run").out == ""
    said = typed("schedule", "run", "nightly")
    assert said.lines[0].startswith("enqueued emails/")
    (made,) = typed("task", "list", "emails", "--json").objects
    assert (made["type"], made["payload"]) == ("good", {"number": 2})
    assert typed("schedule", "pause", "nightly").out == "nightly is paused\n"
    assert typed("schedule", "next", "nightly").lines[0].startswith("it is paused")
    assert typed("schedule", "show", "nightly", "--json").objects[0]["paused"] is True
    assert typed("schedule", "resume", "nightly").out == "nightly ticks again\n"
    assert typed("schedule", "resume", "nightly").out == "nightly ticks already\n"
    done = [entry["what"] for entry in typed("audit", "--json").objects]
    assert done.count("Schedules.resume") == 1
    status, line = typed.one_line("schedule", "remove", "nightly")
    assert (status, "this would remove the schedule nightly of emails" in line) == (2, True)
    assert typed("schedule", "remove", "nightly", "--yes").out == "nightly is removed\n"
    assert typed("schedule", "show", "nightly").status == 3


# Bad input


@pytest.mark.parametrize(
    ("status", "arguments", "said"),
    [
        (3, ("queue", "show", "emials"), "there is no queue emials; did you mean emails?"),
        (3, ("queue", "show", "zzz"), "there is no queue zzz; see 'rediq queue list'"),
        (3, ("queue", "pause", "zzz"), "there is no queue zzz"),
        (3, ("task", "list", "emials"), "did you mean emails?"),
        (3, ("task", "show", "emails/zz"), "no task 'emails/zz': it never existed"),
        (3, ("task", "show", "emails/zz"), ". See 'rediq task list'"),
        (3, ("task", "show", "emials/a"), "there is no queue emials; did you mean emails?"),
        (3, ("task", "wait", "emails/zz"), "no task 'emails/zz'"),
        (3, ("worker", "show", "w"), "there is no live worker w; see 'rediq worker list'"),
        (3, ("schedule", "show", "nightli"), "there is no schedule nightli; did you mean nightly?"),
        (3, ("schedule", "run", "zz"), "there is no schedule zz; see 'rediq schedule list'"),
        (3, ("schedule", "remove", "zz", "--yes"), "there is no schedule zz"),
        (2, ("task", "show", "zz"), "id='zz': must be a task's id"),
        (2, ("task", "show", "a/\x1b[31m"), r"id='a/\x1b[31m': must be"),
        (2, ("queue", "show", "\u202ea"), r"QUEUE='\u202ea': must be"),
        (2, ("task", "list", "--limit=0"), "--limit=0: must be a whole number from 1 to 1,000"),
        (2, ("task", "list", "--limit=1001"), "--limit=1001: must be"),
        (2, ("task", "list", "--limit=x"), "argument --limit: invalid int value: 'x'"),
        (2, ("task", "list", "--state=lost"), "invalid choice: 'lost'"),
        (2, ("task", "list", "emails", "--after=nonsense"), "--after: id='nonsense': must be"),
        (2, ("task", "list", "emails", "o", "--after=x"), "there is no queue o"),
        (2, ("task", "list", "emails", "--type=t", "--after=x"), "--after: a search has no pages"),
        (2, ("task", "list", "--type="), "--type: type='': must be"),
        (2, ("task", "list", "--error="), "--error: error='': must be"),
        (2, ("task", "list", "--meta=k"), "--meta='k': must be KEY=VALUE"),
        (2, ("task", "list", "--limit-key=*"), "--limit-key: limit_key='*': must be"),
        (2, ("task", "list", "--priority=101"), "--priority: priority=101: must be"),
        (2, ("task", "list", "--older=soon"), "'soon': must be a duration like"),
        (2, ("task", "list", "--older=99999999d"), "--older: older_than="),
        (2, ("dead", "retry", "emails"), "emails is not the id of a task. To choose from a queue, pass"),
        (2, ("dead", "delete", "\x1b[2J"), r"\x1b[2J is not the id of a task"),
        (2, ("dead", "delete", "emails", "emails", "--type=t"), "a filter chooses from one queue"),
        (2, ("dead", "delete", "emails", "--limit=5"), "unrecognized arguments: --limit=5; did you mean"),
        (3, ("dead", "delete", "emials", "--type=t"), "did you mean emails?"),
        (2, ("task", "reschedule", "emails/a"), "pass one of --delay and --at"),
        (2, ("task", "reschedule", "emails/a", "--at=2020-01-01T00:00Z"), "must be in the future"),
        (2, ("enqueue", "good", '{"a":1'), "payload: no JSON at character 7, near '{\"a\":1'"),
        (2, ("enqueue", "good", "hello"), "payload: no JSON at character 1, near 'hello'"),
        (2, ("enqueue", "good", "9" * 5000), "payload: no JSON: Exceeds the limit"),
        (2, ("enqueue", "good", "[" * 100_000), "payload: no JSON: it is nested too deeply"),
        (2, ("enqueue", "good", "a=1", "b"), "payload='b': must be KEY=VALUE"),
        (2, ("enqueue", "\x1b[2J"), r"type='\x1b[2J': must be"),
        (2, ("enqueue", "good", "--priority=101"), "priority=101: must be"),
        (2, ("enqueue", "good", "--delay=soon"), "'soon': must be a duration like 90, 250ms"),
        (2, ("enqueue", "good", "--at=2020-01-01T00:00Z"), "--at='2020-01-01T00:00Z': must be in the"),
        (2, ("enqueue", "good", "--at=2040-01-01T00:00"), "an instant with its offset, like"),
        (2, ("enqueue", "good", "--at=soon"), "--at='soon': must be like 2026-12-24T18:00"),
        (2, ("enqueue", "good", "--meta=k"), "--meta='k': must be KEY=VALUE"),
        (2, ("enqueue", "good", "--at=2040-01-01T00:00Z"), "--at='2040-01-01T00:00Z': must be at most 1"),
        (2, ("enqueue", "good", "--delay=400d"), "--delay: 400 d is too long: at most 1 year"),
        (2, ("task", "reschedule", "emails/a", "--delay=400d"), "--delay: 400 d is too long"),
        (2, ("task", "reschedule", "emails/a", "--at=2040-01-01T00:00Z"), "must be at most 1 year"),
        (3, ("task", "list", "emails", "--kind=zz"), "nothing of the kind zz has failed in emails; see"),
        (3, ("dead", "retry", "emails", "--kind=zz"), "nothing of the kind zz has failed in emails; see"),
        (2, ("task", "list", "emails", "--after=o/a"), "must be a task of the queue emails"),
        (2, ("enqueue", "-", "a=1"), "enqueue -: takes no payload"),
        (2, ("queue", "limit", "emails", "--concurrency=x"), "a whole number, or none"),
        (2, ("queue", "limit", "emails", "--rate=5"), "--rate='5': must be like 100/1m"),
        (2, ("queue", "limit", "emails", "--key=k"), "pass --concurrency or --rate"),
        (2, ("queue", "targets", "emails", "--latency=soon"), "--latency='soon': must be a duration"),
        (2, ("queue", "targets", "emails", "--latency=0"), "--latency=0.0: must be"),
        (2, ("queue", "targets", "emails", "--failures=1%x"), "--failures='1%x': must be a share like 1%"),
        (2, ("queue", "targets", "emails", "--failures=101%"), "--failures=1.01: must be a number from"),
        (2, ("queue", "targets", "emails", "--failures=nan"), "--failures=nan: must be a number from"),
        (2, ("queue", "targets", "emails", "--failures=\x1b%"), r"--failures='\x1b%': must be"),
        (3, ("queue", "targets", "emials", "--latency=1s"), "did you mean emails?"),
        (2, ("schedule", "add", "s", "good"), "pass one of --every and --cron"),
        (2, ("schedule", "add", "s", "--every=x", "good"), "--every: 'x': must be a duration"),
        (2, ("schedule", "add", "s", "--cron=x", "good"), "--cron: line='x': must be the 5 fields"),
        (2, ("schedule", "next", "nightly", "-n=0"), "-n=0: must be a whole number from 1"),
        (2, ("task", "list", "--watch=0.01"), "--watch=0.01: must be at least 0.1 seconds"),
        (2, ("status", "--watch=0"), "--watch=0.0: must be at least 0.1 seconds"),
        (2, ("status", "--fail-on=x"), "invalid choice: 'x'"),
        (2, ("queue",), "required: verb; see 'rediq queue --help'"),
        (2, ("queue", "show", "emails", "more"), "unrecognized arguments: more"),
        (2, ("queue", "list", "--jsn"), "did you mean --json?"),
        (2, ("queue", "list", "\x1b[2J", "--x\x1b"), r"unrecognized arguments: --x\x1b"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_what_to_do(
    status: int, arguments: tuple[str, ...], said: str, typed: Typed
) -> None:
    async def prepare() -> None:
        async with typed.place.client() as client:
            await client.enqueue(task(id="a", delay=60))
            every = rediq.Every(dt.timedelta(hours=1))
            await client.schedules().add("nightly", every, task())

    trio.run(prepare)
    found, line = typed.one_line(*arguments)
    assert said in line
    assert found == (3 if "there is no queue o" in said else status)
    assert "\x1b" not in line
    stats = stats_of(typed.place, "emails")
    assert (stats.enqueued, stats.scheduled) == (1, 1)


@pytest.mark.parametrize(
    "arguments", [(), ("status",), ("queue", "list"), ("task", "show", "a/b"), ("enqueue", "good")]
)
def test_a_server_that_is_away_is_one_line_and_status_1(
    arguments: tuple[str, ...], typed: Typed
) -> None:
    said = typed(*arguments, flags=["--url=unix://user:secret@/no/such/socket"])
    assert (said.status, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert said.err.startswith("rediq: cannot connect")
    assert "--url or REDIQ_URL" in said.err
    assert "secret" not in said.err


def test_what_is_in_memory_cannot_be_operated(typed: Typed) -> None:
    said = typed("queue", "list", flags=["--url=memory://"])
    assert (said.status, "url='memory://'" in said.err) == (2, True)


# All commands


def test_a_verb_that_may_be_left_out_is_one_that_the_command_has(typed: Typed) -> None:
    for name, command in COMMANDS.items():
        for verb in command.verbs:
            assert typed(name, verb, "--help", flags=[]).out.startswith(
                f"usage: rediq {name} {verb}"
            )


def test_the_help_imports_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys; from rediq_trio.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print([each for each in ('redis', 'trio', 'rich', 'msgpack') if each in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=cli_environment(), capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    *text, imported = found.stdout.splitlines()
    assert imported == "[]"
    assert all(any(line.split()[:1] == [name] for line in text) for name in COMMANDS)


def test_a_command_that_looks_imports_only_what_it_needs(typed: Typed) -> None:
    program = (
        "import gc, sys; from rediq_trio.cli.main import run_process\n"
        "status = run_process()\n"
        "print(*sys.modules); sys.exit(status or not gc.get_freeze_count())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, "queue", "list", *typed.place.flags],
        env=cli_environment(), capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    imported = {*found.stdout.splitlines()[-1].split()}
    assert "rediq_trio.store.redis.store" in imported
    needless = {
        f"rediq_trio.{name}"
        for name in (
            "admin.bulk", "admin.check", "admin.exporting", "admin.history_file", "admin.removal",
            "admin.selection", "admin.series", "clients", "handlers", "schedules", "serve", "web",
            "worker", "workflow",
        )
    } | {"cattrs", "cronsim", "rich", "starlette", "hypercorn"}  # fmt: skip
    assert imported & needless == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, typed: Typed) -> None:
    said = typed(command, "--help", flags=[])
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith(f"usage: rediq {command}")
