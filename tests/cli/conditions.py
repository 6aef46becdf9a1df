"""Every command that asks a server, as it is typed, and tasks for them on a server of their own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from tests.cli.conftest import Place, call
from tests.cli.test_operate import HOSTILE, Said, app, put, task, work
from tests.cli.test_workflow import put as put_workflows
from tests.cli.test_workflow import shape
from tests.clusters import single

READING: Mapping[str, str] = MappingProxyType({
    "": "", "status": "", "queue list": "", "queue show": "emails", "queue series": "emails",
    "task list": "emails --state dead", "task show": "emails/dead", "task why": "emails/dead",
    "task wait": "emails/done", "task export": "emails {file} --state completed", "dead list": "",
    "dead show": "emails/dead", "failures list": "", "failures show": "emails {kind}",
    "worker list": "", "worker show": "none", "schedule list": "", "schedule show": "nightly",
    "schedule next": "nightly", "workflow list": "", "workflow show": "{workflow}", "stats": "emails",
    "group list": "", "limit list": "", "audit": "", "history": "emails --output {history}",
    "check": "emails", "doctor": "",
})  # fmt: skip
"""The commands that change nothing."""
WRITING: Mapping[str, str] = MappingProxyType({
    "enqueue": "good n=1 --queue emails", "queue pause": "emails", "queue resume": "emails",
    "queue remove": "empty --yes", "queue flush": "emails --yes",
    "queue limit": "emails --concurrency 5", "queue targets": "emails --latency 1s",
    "task cancel": "emails/waits --yes", "task retry": "emails/dead --yes",
    "task delete": "emails/dead --yes", "task requeue": "emails/waits --queue slow --yes",
    "task run-now": "emails/waits", "task reschedule": "emails/waits --delay 1h",
    "task again": "emails/dead", "task edit": "emails/waits", "task import": "copies {exported}",
    "dead retry": "emails --type bad --yes", "dead delete": "emails/dead --yes",
    "dead retry-all": "emails --yes", "dead delete-all": "emails --yes",
    "failures retry": "emails {kind} --yes", "failures delete": "emails {kind} --yes",
    "schedule add": "new --every 1h good", "schedule pause": "nightly",
    "schedule resume": "paused", "schedule run": "nightly", "schedule remove": "nightly --yes",
    "workflow cancel": "{workflow} --yes", "workflow retry": "{over} --yes", "mark": "x",
    "bench": "--tasks 10",
})  # fmt: skip
"""The commands that change something, when there is something to change."""
TO_WORKERS = tuple(f"worker {verb}" for verb in ("quiet", "work", "stop", "stacks"))
"""The orders, which need a live worker before they write anything."""
LINES: Mapping[str, str] = MappingProxyType(
    {**READING, **WRITING, **dict.fromkeys(TO_WORKERS, "none")}
)


@attrs.frozen
class Filled:
    """A server with tasks for all commands."""

    node: Any
    place: Place
    names: Mapping[str, str]
    folder: Path

    def words(self, command: str) -> list[str]:
        """Return a command with its arguments, and new files."""
        found = dict(self.names)
        for name in ("file", "history"):
            path = self.folder / name
            path.unlink(missing_ok=True)
            found[name] = str(path)
        return shlex.split(f"{command} {LINES[command].format(**found)}")


@contextmanager
def filled(folder: Path, encryption: rediq.Encryption | None = None) -> Iterator[Filled]:
    """Run a server with tasks in every state, a kind of failure, a schedule and a workflow."""
    with single("redis-7") as node:
        place = Place(f"redis://127.0.0.1:{node.port}", "rediq")

        async def more() -> Mapping[str, str]:
            async with rediq.connect(place.url, encryption=encryption) as client:
                await client.schedules().add("nightly", rediq.Every(3600), task())
                await client.schedules().add("paused", rediq.Every(3600), task())
                await client.schedules().pause("paused")
                await (await client.enqueue(task(queue="empty"))).delete()
                (kind,) = await client.queue("emails").failures()
                workflow, over = await client.workflows()
                file = folder / "exported"
                selected = await client.queue("emails").select("scheduled")
                await selected.export(file)
                return {
                    "kind": kind.kind,
                    "workflow": workflow.id,
                    "over": over.id,
                    "exported": str(file),
                }

        fill(place, encryption)
        yield Filled(node, place, trio.run(more), folder)


def fill(place: Place, encryption: rediq.Encryption | None) -> None:
    if encryption is None:
        put(place, task("bad", id="dead", payload={"text": HOSTILE}), task("good", id="done"))
        put_workflows(place, shape())
        work(place, "emails", "reports")
        put(place, task(id="waits", delay=3600), call("good"))
        put_workflows(place, shape())
        return

    async def alone() -> None:
        options: Any = {"queues": ["emails", "reports"], "burst": True, "encryption": encryption}
        async with rediq.connect(place.url, encryption=encryption) as client:
            await client.enqueue(task("bad", id="dead", payload={"text": HOSTILE}))
            await client.enqueue(task("good", id="done"))
            await client.enqueue(shape())
            async with rediq.serve(app, place.url, **options) as server:
                await server.wait_stopped()
            await client.enqueue(task(id="waits", delay=3600))
            await client.enqueue(shape())

    trio.run(alone)


def check_message(said: Said, words: object) -> str:
    """Return the line on standard error of a command that failed, which is one line for people."""
    assert "Traceback" not in said.err, (words, said.err)
    *notes, last = said.err.splitlines()
    assert last.startswith("rediq: "), (words, said.err)
    for line in notes:
        assert line.startswith(("rediq: the payload was not checked", "what you wrote is kept in"))
    return last
