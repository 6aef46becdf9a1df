"""Tasks that are written to a file and brought back: nothing of them is lost, or read by others."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio import ConfigError, Encryption, MemoryStore, PayloadError, State, Task, Unique
from rediq_trio.admin.task_file import from_json, to_json
from tests.servers import Server, require_any_server

Where = tuple[Any, dict[str, Any]]
OLD, NEW, OTHER = (Encryption.generate_key() for _ in range(3))


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Return what `connect` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"export-{uuid.uuid4().hex[:8]}"}


SOON = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=1)
SOME = [
    Task("plain", {"a": 1}, id="plain", queue="q", delay=60),
    Task("full", {"b": b"\x00\xff", "n": [1.5, -1, None, True], "inf": math.inf, "$x": {b"k": "y"}},
         id="full", queue="q", priority=7, max_retry=9, max_crashes=2, timeout=5, retention=70,
         backoff=rediq.Linear(3, 9), metadata={"tenant": "ä"}, limit_key="k", run_at=SOON,
         expires=SOON + dt.timedelta(hours=1), deadline=SOON + dt.timedelta(hours=2)),
    Task("unique", {}, id="unique", queue="q", delay=60, unique=Unique("key")),
]  # fmt: skip
DRAWN = {"cursor", "created_at", "version", "run_at", "size"}


def kept(info: rediq.TaskInfo) -> dict[str, Any]:
    """Return what an export keeps of a task."""
    return {name: value for name, value in attrs.asdict(info).items() if name not in DRAWN}


def names_in(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def steps_of(queue: rediq.Queue, path: Path) -> list[tuple[int, int, int, int]]:
    return [
        (one.done, one.refused, one.looked_at, one.of) async for one in queue.import_tasks(path)
    ]


async def test_what_is_deleted_after_an_export_is_brought_back(
    where: Where, tmp_path: Path
) -> None:
    path = tmp_path / "tasks.jsonl"
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await client.enqueue_many(SOME)
        before = {info.id: info for info in await queue.tasks("scheduled")}
        selection = await queue.select("scheduled")
        assert await selection.export(path) == 3
        assert path.stat().st_mode & 0o077 == 0
        assert names_in(tmp_path) == ["tasks.jsonl"]
        async for _ in selection.delete():
            pass
        assert await steps_of(queue, path) == [(3, 0, 3, 3)]
        after = {info.id: info for info in await queue.tasks("scheduled")}
        assert {one: kept(info) for one, info in after.items()} == {
            one: kept(info) for one, info in before.items()
        }
        assert after["q/full"].run_at == SOON
        # To do it again changes nothing.
        assert await steps_of(queue, path) == [(0, 3, 3, 3)]


async def test_a_dead_task_comes_back_ready(where: Where, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    async with rediq.connect(where[0], **where[1]) as client:
        needed = await client.enqueue(Task("t", {}, queue="q", delay=60))
        await client.enqueue(Task("t", {"n": 1}, id="x", queue="q", depends_on=needed, expires=50))
        await needed.cancel()
        assert await (await client.queue("q").select("dead")).export(path) == 1
        assert json.loads(path.read_text().splitlines()[1])["about"]["error"]
        assert await steps_of(client.queue("other"), path) == [(1, 0, 1, 1)]
        info = await client.task("other/x").info()
        assert (info.state, info.payload, info.expires) == (State.PENDING, {"n": 1}, None)


async def test_an_export_is_encrypted_as_the_queue_is(where: Where, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    secret = Task(
        "t", {"user": "ada-secret"}, id="x", queue="q", delay=60, unique=Unique("ada-key"),
        metadata={"tenant": "acme-secret"},
    )  # fmt: skip
    async with rediq.connect(where[0], encryption=Encryption([OLD]), **where[1]) as client:
        queue = client.queue("q")
        await client.enqueue(secret)
        selection = await queue.select("scheduled")
        await selection.export(path)
        text = path.read_text()
        assert not any(word in text for word in ("ada", "acme", "unique"))
        before = await client.task("q/x").info()
        await client.task("q/x").delete()
        with pytest.raises(ConfigError, match="encrypted for the queue 'q'"):
            await steps_of(client.queue("other"), path)
    for keys in ([OTHER], []):
        encryption = Encryption(keys) if keys else None
        async with rediq.connect(where[0], encryption=encryption, **where[1]) as client:
            with pytest.raises(ConfigError, match="line 2"):
                await steps_of(client.queue("q"), path)
            assert await client.queue("q").tasks("scheduled") == []
    async with rediq.connect(where[0], encryption=Encryption([NEW, OLD]), **where[1]) as client:
        assert await steps_of(client.queue("q"), path) == [(1, 0, 1, 1)]
        after = await client.task("q/x").info()
        assert (after.payload, after.metadata) == (before.payload, before.metadata)
        assert after.unique == before.unique


async def test_what_cannot_be_read_is_not_exported_and_leaves_no_file(tmp_path: Path) -> None:
    store, path = MemoryStore(), tmp_path / "tasks.jsonl"
    async with rediq.connect(store, encryption=Encryption([OLD])) as client:
        await client.enqueue(Task("t", {}, id="x", queue="q"))
    async with rediq.connect(store, encryption=Encryption([OTHER])) as client:
        selection = await client.queue("q").select("pending")
        with pytest.raises(PayloadError, match="q/x cannot be exported"):
            await selection.export(path)
    assert names_in(tmp_path) == []


HEAD = '{"rediq_tasks": 1}\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cut"),
        ("x", "line 1"),
        ("[]", "line 1 .* not a JSON object"),
        ('{"rediq_tasks": 2}', "line 1 .* this one reads 1"),
        (HEAD, "cut"),
        (HEAD + '{"id": "a", "type": "t", "payload": {}}\n', "cut"),
        (HEAD + '{"id": "a", "type": "t", "payload": {}}\n{"end": 2}', "line 3 .* 1 tasks"),
        (HEAD + '{"end": 0}\n{"end": 0}', "line 3 .* after the end"),
        (HEAD + '{"type": "t"}\n{"end": 1}', "line 2 .* no id"),
        (HEAD + '{"id": "a b", "type": "t"}\n{"end": 1}', "line 2"),
        (HEAD + '{"id": "a", "type": "t", "typ": 1}\n{"end": 1}', "line 2 .* no field 'typ'"),
        (HEAD + '{"id": "a", "type": "t", "priority": 101}\n{"end": 1}', "line 2 .*priority"),
        (HEAD + '{"id": "a", "type": "t", "run_at": "x"}\n{"end": 1}', "line 2"),
        (HEAD + '{"id": "a", "type": "t", "unique": "x"}\n{"end": 1}', "line 2"),
        (HEAD + '{"id": "a", "type": "t", "unique": ["k", "x", false]}\n{"end": 1}', "line 2"),
        (HEAD + '{"id": "a", "type": "t", "payload": {"$x": 1}}\n{"end": 1}', r"line 2 .* '\$x'"),
        (HEAD + '{"ciphertext": "AAAA"}\n{"end": 1}', "line 2 .* no keys"),
    ],
)
async def test_a_bad_file_is_refused_before_anything_is_enqueued(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(text)
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match=words):
            await steps_of(client.queue("q"), path)
        assert await client.queues() == []


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.just("$bytes"), inner)
    ),
    max_leaves=10,
)


@given(plain)
def test_whatever_a_payload_can_be_is_the_same_after_json(value: Any) -> None:
    assert from_json(json.loads(json.dumps(to_json(value), allow_nan=False))) == value
