"""Bad input gets a clear error, and leaves nothing behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore, PayloadError, PayloadTooLarge, State
from rediq_trio.spec.messages import NewTask
from rediq_trio.store.opening import open_store
from rediq_trio.wire.envelope import pack_envelope
from tests.servers import Server

app = rediq.App()


@app.task("ok")
async def ok(x: object = None) -> str:
    return "fine"


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def itself() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


PAYLOADS: dict[str, tuple[object, type[Exception], str]] = {
    "too deep": (nested(70), PayloadError, "deeper than 64"),
    "itself": (itself(), PayloadError, "itself|deeper"),
    "huge int": (2**64, PayloadError, "msgpack cannot carry"),
    "an object": (object(), PayloadError, "msgpack cannot carry"),
    "a key that is a number": ({"a": {1: 2}}, PayloadError, "must be str or bytes"),
    "a surrogate": ("\ud800", PayloadError, "msgpack cannot carry"),
    "too large": ("x" * 600_000, PayloadTooLarge, "600,005 bytes.* 524,288"),
}


@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_bad_payload_is_refused_and_nothing_is_written(name: str) -> None:
    payload, error, said = PAYLOADS[name]
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(error, match=said):
            await client.enqueue(rediq.Task("ok", payload))
        with pytest.raises(error, match=said):
            await client.enqueue_many([ok.task(), rediq.Task("ok", payload)])
        assert await client.queues() == []


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "own id": (lambda: ok.options(id="there").task(), rediq.DuplicateTask),
    "unique key": (lambda: ok.options(unique=rediq.Unique("k")).task(), rediq.DuplicateTask),
    "need": (lambda: ok.options(depends_on="ties/gone").task(), rediq.TaskNotFound),
    "need elsewhere": (lambda: ok.options(depends_on="far/gone").task(), rediq.TaskNotFound),
    "full queue": (lambda: ok.options(queue="full").task(), rediq.QueueFull),
    "payload": (lambda: ok.options(depends_on="ties/there").task(object()), PayloadError),
    "workflow's id": (
        lambda: rediq.chain(ok.task(), ok.options(id="there").task()), rediq.DuplicateTask,
    ),
    "workflow's far id": (
        lambda: rediq.chain(ok.task(), ok.task(), ok.options(queue="full", id="one").task()),
        rediq.DuplicateTask,
    ),
    "workflow's need": (
        lambda: rediq.chain(ok.task(), ok.options(depends_on="far/gone").task()),
        rediq.TaskNotFound,
    ),
    "workflow's payload": (lambda: rediq.chain(ok.task(), ok.task("x" * 600_000)), PayloadTooLarge),
    "full workflow": (
        lambda: rediq.chain(ok.options(queue="full").task(), ok.options(queue="full").task()),
        rediq.QueueFull,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_leaves_the_server_as_it_was(redis_server: Server, name: str) -> None:
    make, error = REFUSED[name]
    prefix = f"bad-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        holder = ok.options(queue="ties", id="there", unique=rediq.Unique("k")).task()
        await client.enqueue(holder)
        await client._store.arrange("full", max_pending=1)
        await client.enqueue(ok.options(queue="full", id="one").task())
        made = make()
        if isinstance(made, rediq.Task) and made.queue == "default":
            made = attrs.evolve(made, queue="ties")
        if name == "workflow's id":
            await client.enqueue(ok.options(id="there").task())
        before = await contents(client, prefix)
        with pytest.raises(error):
            await client.enqueue(made)
        after = await contents(client, prefix)
        # Two may stay: the name of a queue, which is written before the first task, and the number
        # that the record of a workflow had, which is written then too, and removed again.
        may_stay = (b"queues", b"{workflows}/totals")
        assert {k: v for k, v in after.items() if not k.endswith(may_stay)} == {
            k: v for k, v in before.items() if not k.endswith(may_stay)
        }


async def contents(client: rediq.Client, prefix: str) -> dict[bytes, bytes]:
    """Give all that the server keeps under a prefix."""
    gateway = client._store._gateway  # type: ignore[attr-defined]
    keys = await gateway.call(b"KEYS", f"{prefix}*".encode())
    return {key: await gateway.call(b"DUMP", key) for key in keys}


async def test_arguments_that_do_not_fit_are_refused_where_the_task_is_made() -> None:
    with pytest.raises(PayloadError, match="ok: "):
        ok.task(1, 2)  # type: ignore[call-arg]


async def test_what_is_no_task_is_refused() -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(ConfigError, match="task='ok'"):
            await client.enqueue("ok")  # type: ignore[arg-type]


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "queues text": ({"queues": "a"}, "queues='a'"),
    "queues none": ({"queues": []}, "queues="),
    "queues name": ({"queues": ["a b"]}, "queues='a b'.*1 to 128"),
    "queues twice": ({"queues": ["a", "a"]}, "each named once"),
    "queues weight": ({"queues": {"a": 0}}, "queues=0.*above 0"),
    "queues number": ({"queues": 3}, "queues=3"),
    "concurrency": ({"concurrency": 0}, "concurrency=0.*from 1 to 100,000"),
    "concurrency bool": ({"concurrency": True}, "concurrency=True"),
    "lease": ({"lease": float("nan")}, "lease=nan"),
    "heartbeat": ({"lease": 1.0, "heartbeat": 0.6}, "at most half the lease"),
    "prefetch": ({"prefetch": "some"}, "prefetch='some'"),
    "name": ({"name": ""}, "name=''"),
    "burst": ({"burst": 1}, "burst=1"),
    "unknown": ({"colour": 1}, "unknown setting 'colour'"),
}


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_bad_setting_is_refused_before_anything_is_opened(name: str) -> None:
    options, said = SETTINGS[name]
    # Nothing listens there: an attempt to connect would be another error.
    with pytest.raises(ConfigError, match=said):
        async with rediq.serve(app, "redis://127.0.0.1:1", **options):
            pass


async def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_QUEUES", "a=3, b=1")
    monkeypatch.setenv("REDIQ_BURST", "yes")
    monkeypatch.setenv("REDIQ_URL", "memory://")
    async with rediq.serve(app) as server:
        assert server.info().queues == ("a", "b")
        await server.wait_stopped()
    for name, text in (("CONCURRENCY", "many"), ("BURST", "perhaps"), ("QUEUES", "a=,b=1")):
        monkeypatch.setenv(f"REDIQ_{name}", text)
        with pytest.raises(ConfigError, match=name.lower()):
            async with rediq.serve(app):
                pass
        monkeypatch.delenv(f"REDIQ_{name}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost", "a URL like"),
        ("http://x", "one of the schemes"),
        ("redis://u:secret@h:port", "cannot be read"),
        ("unix://", "path of a socket"),
        ("memory://a b", "1 to 128"),
        ("embedded://folder", "embedded"),
        (7, "url"),
    ],
)
async def test_a_bad_url_is_refused_without_its_password(url: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        async with rediq.connect(url):
            pass
    assert "secret" not in str(refused.value)


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(rediq.ConnectionLost, match=r"redis://127\.0\.0\.1:1") as lost:
        async with rediq.connect("redis://user:secret@127.0.0.1:1/0"):
            pass
    assert "secret" not in str(lost.value)


async def test_bad_ids_names_and_pages_are_refused() -> None:
    async with rediq.connect(MemoryStore()) as client:
        for bad in ("x", "a/b/c", "/x", "a b/c", 7):
            with pytest.raises(ConfigError, match="id="):
                client.task(bad)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="queue='a/b'"):
            client.queue("a/b")
        queue = client.queue("q")
        with pytest.raises(ConfigError, match="state='gone'"):
            await queue.tasks("gone")
        with pytest.raises(ConfigError, match="limit=0"):
            await queue.tasks("dead", limit=0)
        with pytest.raises(ConfigError, match="a task of the queue q"):
            await queue.tasks("dead", after="other/x")
        with pytest.raises(ConfigError, match="timeout=-1"):
            await client.task("q/x").wait(timeout=-1)


async def test_bad_handlers_are_refused() -> None:
    mine = rediq.App()
    with pytest.raises(ConfigError, match="can be passed by name"):

        @mine.task
        async def stars(*args: int) -> None: ...

    with pytest.raises(ConfigError, match="does not yield"):

        @mine.task
        async def generator() -> Any:
            yield 1

    with pytest.raises(ConfigError, match="priority=101"):
        mine.task("p", priority=101)(ok.function)
    with pytest.raises(ConfigError, match="name='b': must be left out: 'a' names the handler"):
        mine.task("a", name="b")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="unknown option 'colour'"):
        mine.task("p", colour=1)(ok.function)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="name=3"):
        mine.task(3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="middleware=3"):
        mine.middleware(3)  # type: ignore[type-var]
    mine.include(app)
    with pytest.raises(ConfigError, match="registered already"):
        mine.task("ok")(ok.function)
    with pytest.raises(ConfigError, match="both apps"):
        mine.include(app)
    assert [kind.name for kind in mine.types] == ["ok"]
    with pytest.raises(ConfigError, match="app=3"):
        async with rediq.serve(3, "memory://"):  # type: ignore[arg-type]
            pass
    with pytest.raises(ConfigError, match="outside of a handler"):
        rediq.current_task()


async def test_progress_out_of_its_bounds_fails_the_attempt() -> None:
    mine = rediq.App()

    @mine.task("bad", max_retry=0)
    async def bad(percent: float, message: Any) -> None:
        rediq.current_task().progress(percent, message)

    async with rediq.serve(mine, MemoryStore()) as server:
        for percent, message, said in ((101, None, "percent=101"), (1, 5, "message=5")):
            handle = await server.client.enqueue(bad.task(percent, message))
            with pytest.raises(rediq.TaskFailed, match=said):
                await handle.result(timeout=10)


@pytest.mark.parametrize("raising", [rediq.Retry, rediq.Snooze])
def test_delays_that_a_handler_asks_for_have_bounds(raising: Callable[[float], Any]) -> None:
    with pytest.raises(ConfigError, match="-1"):
        raising(-1)


ENVELOPES = {
    "no msgpack": b"\xc1",
    "empty": b"",
    "no array": b"\x01",
    "too short": b"\x91\x01",
    "newer": b"\x93\x02\xa1a\xc4\x00",
    "wrong fields": b"\x93\x01\x01\x01",
    "unknown backoff": b"\x95\x01\xa2ok\xc4\x01\x80\x01\x91\x63",
    "extension": b"\xd4\x05\x00",
    "bad payload": pack_envelope("ok", b"\xc1", 30, rediq.Exponential(), {}),
    "extension in payload": pack_envelope("ok", b"\xd4\x05\x00", 30, rediq.Exponential(), {}),
    "deep payload": pack_envelope("ok", b"\x91" * 100 + b"\x01", 30, rediq.Exponential(), {}),
    "large payload": pack_envelope("ok", b"\xa1x" * 300_000, 30, rediq.Exponential(), {}),
    "number keys": pack_envelope("ok", b"\x81\x01\x01", 30, rediq.Exponential(), {}),
    "unknown type": pack_envelope("nobody", b"\x80", 30, rediq.Exponential(), {}),
}


async def test_undecodable_tasks_die_with_a_reason_and_the_worker_lives(
    redis_server: Server,
) -> None:
    prefix = f"bad-{uuid.uuid4().hex[:8]}"
    async with open_store(redis_server.url, key_prefix=prefix) as store:
        ids = [f"t{n}" for n in range(len(ENVELOPES))]
        planted = [NewTask(i, e) for i, e in zip(ids, ENVELOPES.values(), strict=True)]
        await store.enqueue("default", planted)
    options: dict[str, Any] = {"key_prefix": prefix, "unknown_type_patience": 0}
    async with rediq.serve(app, redis_server.url, **options) as server:
        for task_id in ids:
            info = await server.client.task(f"default/{task_id}").wait(timeout=10)
            assert info.state is State.DEAD
            assert info.error
            assert info.deliveries <= 1
        good = await server.client.enqueue(ok.task())
        assert await good.result(timeout=10) == "fine"
        assert await server.client.queue("default").check() == []


async def test_a_server_that_may_evict_tasks_is_refused(redis_server: Server) -> None:
    async with open_store(redis_server.url) as store:
        gateway = store._gateway  # type: ignore[attr-defined]
        await gateway.call(b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lru")
        try:
            with pytest.raises(ConfigError, match="maxmemory-policy 'allkeys-lru'"):
                async with rediq.connect(redis_server.url):
                    pass
            async with rediq.connect(redis_server.url, allow_eviction=True) as client:
                assert await client.queue("none").check() == []
        finally:
            await gateway.call(b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction")


async def test_a_text_that_cannot_be_sent_is_refused_alone(redis_server: Server) -> None:
    async with open_store(redis_server.url) as store:
        with pytest.raises(ConfigError, match="cannot be sent"):
            await store.unregister("\ud800")
        assert await store.workers() == ()
        await trio.lowlevel.checkpoint()
