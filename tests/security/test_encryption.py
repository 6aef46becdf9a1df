"""Encryption: what goes in comes out, for those with a key and for nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio import (
    ConfigError,
    DuplicateTask,
    Encryption,
    Every,
    MemoryStore,
    PayloadError,
    State,
    Task,
    TaskFailed,
    Unique,
)
from rediq_trio.store.encrypted.keys import CLEAR_VARIABLE, KEYS_VARIABLE, resolve_encryption
from rediq_trio.store.port import Store
from rediq_trio.wire.packing import ENCRYPTED, extension_of, pack, pack_extension
from tests.opened import Opened
from tests.servers import Server, open_redis_store
from tests.stored import changed

MARK = "the-marker-that-nobody-may-read"
OLD, NEW, OTHER = (Encryption.generate_key() for _ in range(3))
WITHIN = 30.0


@attrs.frozen
class Place:
    """A store, and all the bytes that are in it."""

    store: Store
    dump: Callable[[], Any]
    raw: Callable[..., Any] | None
    """Sends a command to the server; None for a store in memory."""


@asynccontextmanager
async def _in_memory() -> AsyncGenerator[Place]:
    store = MemoryStore()

    async def dump() -> bytes:
        return repr([await store.dump(name) for name in await store.queues()]).encode()

    yield Place(store, dump, None)


@asynccontextmanager
async def _on(server: Server) -> AsyncGenerator[Place]:
    async with open_redis_store(server, prefix="encrypted") as opened:

        async def dump() -> bytes:
            found: list[bytes] = []
            for key in await opened.gateway.call(b"KEYS", b"*"):
                kind = await opened.gateway.call(b"TYPE", key)
                if kind == b"none":
                    continue  # a worker emptied it since the keys were listed
                read = {
                    b"hash": (b"HGETALL", key), b"zset": (b"ZRANGE", key, 0, -1),
                    b"set": (b"SMEMBERS", key), b"string": (b"GET", key),
                }[kind]  # fmt: skip
                found += [key, *await opened.gateway.call(*read)]
                # As the RDB file has it; what compresses well is not hidden by that.
                found.append(await opened.gateway.call(b"DUMP", key) or b"")
            return b"\n".join(found)

        async def raw(command: str, queue: str, name: str, *args: Any) -> Any:
            return await opened.gateway.call(command, opened.keys.of(queue, (name,))[0], *args)

        yield Place(opened.store, dump, raw)


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Opened:
    if request.param == "memory":
        return Opened(_in_memory)
    server = request.getfixturevalue("redis_server")
    return Opened(lambda: _on(server))


@pytest.fixture
def redis_place(redis_server: Server) -> Opened:
    return Opened(lambda: _on(redis_server))


app = rediq.App("encrypted")
seen: list[Any] = []


@app.task("echo", max_retry=0)
async def echo(value: Any) -> Any:
    seen.append(rediq.current_task().metadata)
    return value


@app.task("fails", max_retry=0)
async def fails(value: str) -> None:
    raise ValueError(value)


@app.task("other", max_retry=0)
async def other(value: Any) -> Any:
    return "swapped"


@app.task("steps", max_retry=1, backoff=rediq.Fixed(0.01))
async def steps(value: str) -> str:
    task = rediq.current_task()
    task.progress(50, value)
    task.enqueue_after(echo.options(queue="second").task(value))
    kept = await task.once("step", _given, value)
    if task.fence == 1:
        raise rediq.Snooze(0.01)
    return kept + kept


def _given(value: str) -> str:
    return value


@app.task("parent", max_retry=0)
async def parent(value: str, queue: str) -> str:
    return rediq.current_task().enqueue_after(echo.options(queue=queue).task(value)).id


@app.task("join")
async def join() -> list[Any]:
    return sorted((await rediq.current_task().results()).values())


@app.task("together")
async def together(values: list[str]) -> str:
    return "".join(values)


def worker(
    place: Place, *keys: str, allow_clear: bool = False, app: rediq.App = app
) -> AbstractAsyncContextManager[rediq.Server]:
    encryption = Encryption(keys, allow_clear=allow_clear) if keys else None
    return rediq.serve(app, place.store, queues=["default", "second"], encryption=encryption)


def client(place: Place, *keys: str, allow_clear: bool = False) -> Any:
    encryption = Encryption(keys, allow_clear=allow_clear) if keys else None
    return rediq.connect(place.store, encryption=encryption)


async def died_of(handle: rediq.TaskHandle[Any]) -> str:
    info = await handle.wait(timeout=WITHIN)
    assert info.state is State.DEAD
    return info.error or ""


# --- the seal itself

bound = st.lists(st.text(), max_size=3)


@given(data=st.binary(max_size=300), bound=bound, deterministic=st.booleans())
@example(b"", [], True)
def test_what_is_encrypted_is_decrypted_by_whoever_has_the_key(
    data: bytes, bound: list[str], deterministic: bool
) -> None:
    encrypted = Encryption([OLD]).encrypt(data, *bound, deterministic=deterministic)
    assert Encryption([OLD]).decrypt(encrypted, *bound) == data
    assert Encryption([NEW, OLD]).decrypt(encrypted, *bound) == data
    assert len(data) < 8 or data not in encrypted
    again = Encryption([OLD]).encrypt(data, *bound, deterministic=deterministic)
    assert (again == encrypted) == deterministic
    for wrong, what in ((Encryption([NEW]), bound), (Encryption([OLD]), [*bound, "more"])):
        with pytest.raises(PayloadError):
            wrong.decrypt(encrypted, *what)


def test_what_is_encrypted_deterministically_shares_no_key_and_nonce_with_other_data() -> None:
    encryption = Encryption([OLD])
    data = [(b"one", "a"), (b"two", "a"), (b"one", "b")]

    def key_and_nonce(plain: bytes, name: str) -> bytes:
        packed = encryption.encrypt(plain, "schedule", name, deterministic=True)
        found = extension_of(packed)
        assert found is not None
        return found[1][5:29]  # after the version and the id of the user's key

    assert len({key_and_nonce(*each) for each in data}) == 3
    assert key_and_nonce(*data[0]) == key_and_nonce(*data[0])


def test_every_flipped_bit_is_found() -> None:
    encryption = Encryption([OLD])
    encrypted = encryption.encrypt(b"some bytes", "a", "b")
    for place in range(len(encrypted)):
        for bit in range(8):
            changed = bytearray(encrypted)
            changed[place] ^= 1 << bit
            with pytest.raises(PayloadError):
                encryption.decrypt(bytes(changed), "a", "b")
    for end in range(len(encrypted)):
        with pytest.raises(PayloadError):
            encryption.decrypt(encrypted[:end], "a", "b")


@given(st.binary(max_size=100), st.sampled_from([0, 1, 2, 127]))
def test_any_bytes_are_refused_with_a_payload_error(data: bytes, code: int) -> None:
    for packed in (data, pack_extension(code, data), pack_extension(ENCRYPTED, b"\x01" + data)):
        with pytest.raises(PayloadError):
            Encryption([OLD]).decrypt(packed, "a")


@pytest.mark.parametrize(
    "keys", [[], "one", [""], ["short"], [b"x" * 31], [b"x" * 33], [5], None, [OLD, "bad-s3cret"]]
)
def test_bad_keys_are_refused_and_not_shown(keys: Any) -> None:
    with pytest.raises(ConfigError, match=r"^keys: ") as caught:
        Encryption(keys)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)


def test_no_key_shows() -> None:
    encryption = Encryption([OLD, b"k" * 32])
    assert repr(encryption) == str(encryption) == "<Encryption with 2 keys>"
    assert OLD not in repr(vars(encryption))
    with pytest.raises(ConfigError, match="allow_clear"):
        Encryption([OLD], allow_clear="yes")  # type: ignore[arg-type]


def test_without_the_package_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import rediq_trio as rediq\n"
        "try:\n    rediq.Encryption([b'k' * 32])\n"
        "except rediq.ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'rediq-trio[encryption]'" in done.stdout


async def test_what_is_no_encryption_is_refused_before_anything_is_opened() -> None:
    for attempt in (rediq.connect("memory://", encryption=OLD), rediq.serve(app, encryption=OLD)):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"^encryption=") as caught:
            async with attempt:
                pass
        assert OLD not in str(caught.value)


# --- through a queue


async def test_nothing_of_it_can_be_read_in_the_store(place: Place) -> None:
    async with worker(place, OLD) as server:
        us = server.client
        first = await us.enqueue(echo.options(metadata={"trace": MARK}).task(MARK))
        assert await first.result(timeout=WITHIN) == MARK
        assert seen[-1] == {"trace": MARK}
        info = await first.info()
        assert (info.result, dict(info.metadata), info.type) == (MARK, {"trace": MARK}, "echo")
        has_steps = await us.enqueue(steps.task(MARK))
        assert await has_steps.result(timeout=WITHIN) == MARK + MARK
        assert [p.message async for p in has_steps.progress()] == [MARK]
        needs = [first, await us.enqueue(echo.options(queue="second").task(MARK + "2"))]
        joined = await us.enqueue(join.options(depends_on=[h.id for h in needs]).task())
        assert await joined.result(timeout=WITHIN) == [MARK, MARK + "2"]
        unique = Unique(key=MARK)
        await us.enqueue(echo.options(delay=1000, unique=unique).task(MARK))
        await us.enqueue(echo.options(delay=1000, unique=Unique()).task(MARK))
        await us.schedules().add("s", Every(3600), echo.task(MARK))
        ticked = await us.schedules().trigger("s")
        assert await ticked.result(timeout=WITHIN) == MARK
        members = [together.options(group="g").task(MARK + n) for n in "12"]  # type: ignore[arg-type]
        await us.enqueue_many(members)
        assert MARK.encode() not in await place.dump()
        assert (await us.queue("default").stats()).grouped == 2
        assert await us.queue("default").check() == []


async def test_a_kind_of_failure_is_a_keyed_hash_and_its_sample_is_encrypted(place: Place) -> None:
    plain: list[str] = []
    async with worker(place) as server:
        for text in ("user 'a' is gone", "user 'b' is gone"):
            await (await server.client.enqueue(fails.options(queue="second").task(text))).wait(
                WITHIN
            )
        (kind,) = await server.client.queue("second").failures()
        assert (kind.count, kind.message) == (2, "user 'a' is gone")
        plain.append(kind.kind)
        await server.client.queue("second").flush()
    async with worker(place, OLD) as server:
        us = server.client
        for text in (f"{MARK} 'a'", f"{MARK} 'b'", "user 'a' is gone"):
            info = await (await us.enqueue(fails.task(text))).wait(WITHIN)
        queue = us.queue("default")
        gone, marked = await queue.failures()
        assert (marked.count, marked.type, marked.message) == (2, "fails", f"{MARK} 'a'")
        assert marked.place is not None
        assert gone.message == "user 'a' is gone"
        # What is known of an error does not tell whether it is among those that are kept.
        assert gone.kind not in plain
        assert len(gone.kind) == len(plain[0])
        assert [each.kind for each in info.attempts] == [gone.kind]
        assert [task.id for task in await queue.dead.list(kind=gone.kind)] == [info.id]
        found = await place.dump()
        assert MARK.encode() not in found
        assert plain[0].encode() not in found
        assert b"test_encryption:fails" not in found
    async with client(place, NEW, OLD) as us:
        assert await us.queue("default").failures() == (gone, marked)
    async with client(place, NEW) as us:
        (other, _) = await us.queue("default").failures()
        assert (other.kind, other.count, other.type, other.message) == (gone.kind, 1, None, None)
        assert "encrypted with a key that is not among those given" in (other.unreadable or "")
    async with client(place) as us:
        (other, _) = await us.queue("default").failures()
        assert "this process has no keys" in (other.unreadable or "")


async def test_a_batch_gets_its_members_in_clear(place: Place) -> None:
    pairs = rediq.App("pairs")
    got: list[Any] = []

    @pairs.aggregator("g", max_size=2)
    async def put(tasks: list[Task[Any]]) -> None:
        got.extend((task.payload, dict(task.metadata)) for task in tasks)

    @pairs.task("member")
    async def member(value: str) -> None: ...

    async with worker(place, OLD, app=pairs) as server:
        for n in "12":
            await server.client.enqueue(member.options(group="g", metadata={"n": n}).task(MARK + n))
        with trio.fail_after(WITHIN):
            while len(got) < 2:
                await trio.sleep(0.01)
        await server.wait_idle()
        assert MARK.encode() not in await place.dump()
    assert got == [({"value": MARK + n}, {"n": n}) for n in "12"]


@pytest.mark.parametrize("payload", [b"", b"\xc7\x00\x01", None, {}, [1], "text", {"a": {"b": 1}}])
async def test_any_payload_comes_through(place: Place, payload: Any) -> None:
    async with worker(place, OLD) as server:
        handle = await server.client.enqueue(Task("echo", {"value": payload}))
        assert await handle.result(timeout=WITHIN) == payload


async def test_keys_are_rotated_without_a_gap(place: Place) -> None:
    async with client(place, OLD) as us:
        before = await us.enqueue(echo.task("before"))
    async with worker(place, NEW, OLD) as server:
        assert await server.client.task(before.id).result(timeout=WITHIN) == "before"
        after = await server.client.enqueue(echo.task("after"))
        assert await after.result(timeout=WITHIN) == "after"
    async with client(place, NEW) as us:
        assert await us.task(after.id).result(timeout=WITHIN) == "after"
        assert await us.task(before.id).result(timeout=WITHIN) == "before"  # the new key's
    async with client(place, OLD) as us:
        with pytest.raises(PayloadError, match="not among those given"):
            await us.task(after.id).result(timeout=WITHIN)


async def test_a_worker_without_keys_sends_the_task_to_dead_and_goes_on(place: Place) -> None:
    async with client(place, OLD) as us:
        handle = await us.enqueue(echo.options(metadata={"a": "b"}).task(MARK))
    async with worker(place) as server:
        plain = server.client
        why = await died_of(plain.task(handle.id))
        assert "the payload is encrypted, and this process has no keys" in why
        assert KEYS_VARIABLE in why
        assert await (await plain.enqueue(echo.task("clear"))).result(timeout=WITHIN) == "clear"
        info = await plain.task(handle.id).info()
        assert (info.type, info.attempt, dict(info.metadata)) == ("echo", 1, {})
    async with worker(place, OLD) as server:
        assert await server.client.queue("default").dead.retry(handle.id)
        assert await server.client.task(handle.id).result(timeout=WITHIN) == MARK


async def test_a_worker_with_another_key_says_so(place: Place) -> None:
    async with client(place, OLD) as us:
        handle = await us.enqueue(echo.task(MARK))
    async with worker(place, OTHER) as server:
        assert "not among those given" in await died_of(server.client.task(handle.id))


async def test_a_client_without_keys_cannot_read_a_result_but_can_look(place: Place) -> None:
    async with worker(place, OLD) as server:
        handle = await server.client.enqueue(steps.task(MARK))
        await handle.result(timeout=WITHIN)
    async with client(place) as plain:
        with pytest.raises(
            PayloadError, match="the result is encrypted, and this process has no keys"
        ):
            await plain.task(handle.id).result(timeout=WITHIN)
        info = await plain.task(handle.id).info()
        assert (info.state, info.type, info.progress) == (State.COMPLETED, "steps", None)
        assert info.result == "(unreadable)"
        assert [one.id for one in await plain.queue("default").tasks("completed")] == [handle.id]
        assert await plain.queue("default").check() == []


async def test_a_payload_is_shown_to_whoever_has_a_key_of_the_rotation(place: Place) -> None:
    payload = {"value": MARK}
    async with client(place, OLD) as one:
        handle = await one.enqueue(Task("t", payload, unique=Unique(MARK)))
    async with client(place, NEW, OLD) as both:
        found = await both.task(handle.id).info()
        assert (found.payload, found.payload_missing) == (payload, None)
        assert found.unique is not None
        assert MARK not in found.unique.key
    for keys, why in (((), "this process has no keys"), ((OTHER,), "not among those given")):
        async with client(place, *keys) as blind:
            (listed,) = await blind.queue("default").tasks("pending")
            for found in (listed, await blind.task(handle.id).info()):
                assert (found.type, found.payload) == ("t", None)
                assert why in str(found.payload_missing)


async def test_what_is_not_encrypted_is_refused_unless_it_is_allowed(place: Place) -> None:
    async with client(place) as plain:
        handles = [await plain.enqueue(echo.task(n)) for n in range(2)]
        with pytest.raises(DuplicateTask):
            await plain.enqueue(Task("echo", {"value": 1}, id=handles[0].id.partition("/")[2]))
    async with worker(place, OLD) as server:
        for handle in handles:
            assert "allow_clear" in await died_of(server.client.task(handle.id))
    async with client(place, OLD) as us:
        await us.queue("default").dead.retry_all()
    async with worker(place, OLD, allow_clear=True) as server:
        for n, handle in enumerate(handles):
            assert await server.client.task(handle.id).result(timeout=WITHIN) == n


async def test_a_key_of_unique_holds_and_tells_nothing(place: Place) -> None:
    async with client(place, OLD) as us:
        for unique in (Unique(), Unique(key=MARK)):
            task = echo.options(unique=unique).task(MARK)
            held = await us.enqueue(task)
            with pytest.raises(DuplicateTask) as caught:
                await us.enqueue(task)
            assert caught.value.existing_id == held.id
        assert MARK.encode() not in await place.dump()
        # Hashed with the key: who has none cannot find out what a payload was by trying.
        for keys in ((), (OTHER,)):
            async with client(place, *keys) as stranger:
                assert (await stranger.enqueue(echo.options(unique=Unique()).task(MARK))).created


async def test_a_schedule_that_is_declared_again_stays_as_it_is(place: Place) -> None:
    async with client(place, OLD) as us:
        first = await us.schedules().add("s", Every(3600), echo.options(unique=Unique()).task(MARK))
        (before,) = (await place.store.agenda("default")).schedules
        again = await us.schedules().add("s", Every(3600), echo.options(unique=Unique()).task(MARK))
        (after,) = (await place.store.agenda("default")).schedules
        assert (first, before) == (again, after)
        one = await us.schedules().trigger("s")
        assert not (await us.schedules().trigger("s")).created  # its unique key is taken
        with pytest.raises(DuplicateTask) as caught:
            await us.enqueue(echo.options(unique=Unique()).task(MARK))
        assert caught.value.existing_id == one.id


async def test_a_schedule_ticks_on_a_worker_without_the_key_and_its_task_says_why(
    place: Place,
) -> None:
    async with client(place, OLD) as us:
        await us.schedules().add("s", Every(3600), echo.task(MARK))
    for keys, why in (((), "no keys"), ((OTHER,), "not among those given")):
        async with worker(place, *keys) as server:
            handle = await server.client.schedules().trigger("s")
            assert why in await died_of(handle)


async def test_a_schedule_that_ticks_makes_tasks_that_nobody_can_read(place: Place) -> None:
    ticking = rediq.App("ticking")
    got: list[tuple[str, dict[str, str]]] = []

    @ticking.task("tick", queue="second")
    async def tick(value: str) -> str:
        got.append((value, dict(rediq.current_task().metadata)))
        return value

    task = tick.options(metadata={"trace": MARK}, retention=1000).task(MARK)
    ticking.schedule("often", Every(0.2), task)
    async with worker(place, OLD, app=ticking) as server:
        with trio.fail_after(WITHIN):
            while len(got) < 3:
                await trio.sleep(0.01)
        assert MARK.encode() not in await place.dump()
        await server.client.queue("second").pause()
        waiting = server.client.queue("second")
        with trio.fail_after(WITHIN):
            while not (pending := await waiting.tasks("pending")):
                await trio.sleep(0.01)
        # One that has not run lies there as well, and is read by those who have the key.
        assert MARK.encode() not in await place.dump()
        assert pending[0].metadata["trace"] == MARK
        assert await waiting.tasks("dead") == []
        await waiting.resume()
    assert {(value, metadata["trace"]) for value, metadata in got} == {(MARK, MARK)}


# --- against one who can write to Redis


async def _encrypted_two(place: Place) -> tuple[list[str], list[bytes]]:
    async with client(place, OLD) as us:
        handles = [await us.enqueue(echo.task(n)) for n in range(2)]
    owns = [handle.id.partition("/")[2] for handle in handles]
    records = await place.store.get("default", owns)
    return owns, [record.envelope for record in records if record is not None]


async def _write(place: Place, name: str, own: str, packed: bytes) -> None:
    from rediq_trio.spec.ids import pack_id

    assert place.raw is not None
    await place.raw("HSET", "default", name, pack_id(own), packed)


async def _change_envelope(place: Place, own: str, packed: bytes) -> None:
    from rediq_trio.spec.ids import pack_id

    assert place.raw is not None
    record = await place.raw("HGET", "default", "records", pack_id(own))
    await _write(place, "records", own, changed(record, envelope=packed))


async def test_payloads_that_are_swapped_do_not_open(redis_place: Place) -> None:
    place = redis_place
    owns, envelopes = await _encrypted_two(place)
    for own, packed in zip(owns, reversed(envelopes), strict=True):
        await _change_envelope(place, own, packed)
    async with worker(place, OLD) as server:
        for own in owns:
            why = await died_of(server.client.task(f"default/{own}"))
            assert "was changed, or belongs to another task" in why


async def test_a_payload_that_is_given_to_another_handler_does_not_open(redis_place: Place) -> None:
    place = redis_place
    owns, envelopes = await _encrypted_two(place)
    await _change_envelope(place, owns[0], envelopes[0].replace(b"\xa4echo", b"\xa5other"))
    async with worker(place, OLD) as server:
        why = await died_of(server.client.task(f"default/{owns[0]}"))
        assert "was changed, or belongs to another task" in why
        assert await server.client.task(f"default/{owns[1]}").result(timeout=WITHIN) == 1


async def test_each_flipped_byte_of_an_envelope_ends_in_dead_or_changes_nothing(
    redis_place: Place,
) -> None:
    place = redis_place
    async with client(place, OLD) as us:
        handle = await us.enqueue(echo.task("sound"))
        (record,) = await place.store.get("default", (handle.id.partition("/")[2],))
        assert record is not None
        whole = record.envelope
        handles = await us.enqueue_many(
            [echo.options(id=f"t{n}").task("x") for n in range(len(whole))]
        )
        assert await us.queue("default").dead.purge() == 0
    for n, one in enumerate(handles):
        (record,) = await place.store.get("default", (one.id.partition("/")[2],))
        assert record is not None
        flipped = bytearray(record.envelope)
        flipped[n % len(flipped)] ^= 0xFF
        await _change_envelope(place, one.id.partition("/")[2], bytes(flipped))
    async with worker(place, OLD) as server:
        ends = [await server.client.task(one.id).wait(timeout=WITHIN) for one in handles]
    assert {info.state for info in ends} == {State.DEAD}
    assert all(info.error for info in ends)


async def test_a_result_that_was_changed_or_moved_is_refused(redis_place: Place) -> None:
    place = redis_place
    async with worker(place, OLD) as server:
        handles = [await server.client.enqueue(echo.task(n)) for n in "ab"]
        for handle in handles:
            await handle.result(timeout=WITHIN)
        owns = [handle.id.partition("/")[2] for handle in handles]
        kept = [one.result for one in await place.store.get("default", owns) if one is not None]
        assert [found[0] for found in map(extension_of, kept) if found] == [ENCRYPTED] * 2
        await _write(place, "results", owns[0], kept[1])
        await _write(place, "results", owns[1], pack("injected"))
        for handle, why in zip(handles, ("belongs to another task", "not encrypted"), strict=True):
            with pytest.raises(PayloadError, match=why):
                await handle.result(timeout=WITHIN)
            assert (await handle.info()).result == "(unreadable)"


async def test_results_of_others_that_were_changed_fail_the_task_that_reads_them(
    redis_place: Place,
) -> None:
    place = redis_place
    async with worker(place, OLD) as server:
        first = await server.client.enqueue(echo.task(1))
        await first.result(timeout=WITHIN)
        await _write(place, "results", first.id.partition("/")[2], pack("injected"))
        joined = await server.client.enqueue(
            join.options(depends_on=[first.id], max_retry=0).task()
        )
        with pytest.raises(TaskFailed, match="cannot be decoded: not encrypted"):
            await joined.result(timeout=WITHIN)


# --- from the environment


async def test_the_environment_gives_keys(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW}, {OLD}")
    async with rediq.serve(app, place.store) as server:
        handle = await server.client.enqueue(echo.task(MARK))
        assert await handle.result(timeout=WITHIN) == MARK
    assert MARK.encode() not in await place.dump()
    async with client(place, NEW) as us:
        assert await us.task(handle.id).result(timeout=WITHIN) == MARK
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},s3cret")
    with pytest.raises(ConfigError, match=r"^keys: ") as caught:
        async with rediq.connect(place.store):
            pass
    assert "s3cret" not in str(caught.value)
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    monkeypatch.setenv(CLEAR_VARIABLE, "perhaps")
    with pytest.raises(ConfigError, match=CLEAR_VARIABLE):
        async with rediq.connect(place.store):
            pass


@pytest.mark.parametrize("queue", ["default", "second"])
async def test_a_child_is_decrypted_in_the_queue_that_it_goes_to(place: Place, queue: str) -> None:
    async with worker(place, OLD) as server:
        handle = await server.client.enqueue(parent.task(MARK, queue))
        child = server.client.task(await handle.result(timeout=WITHIN))
        assert child.queue == queue
        with trio.fail_after(WITHIN):  # a message takes it to another queue
            while not (await server.client.queue(queue).stats()).enqueued:
                await trio.sleep(0.01)
        assert await child.result(timeout=WITHIN) == MARK


@pytest.mark.parametrize(
    ("text", "allowed"), [("", False), ("0", False), ("false", False), ("1", True), ("True", True)]
)
def test_the_environment_says_whether_clear_text_is_accepted(
    monkeypatch: pytest.MonkeyPatch, text: str, allowed: bool
) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, OLD)
    monkeypatch.setenv(CLEAR_VARIABLE, text)
    encryption = resolve_encryption(None)
    assert encryption is not None
    if allowed:
        assert encryption.decrypt(b"plain") == b"plain"
    else:
        with pytest.raises(PayloadError, match="not encrypted"):
            encryption.decrypt(b"plain")


async def test_what_is_changed_of_a_task_is_encrypted_too(place: Place) -> None:
    async with client(place, OLD) as us:
        task = echo.options(delay=1000, unique=Unique(key=MARK)).task("a")
        handle = await us.enqueue(task)
        before = await handle.info()
        [stored] = await place.store.get("default", [handle.id.split("/")[1]])
        await handle.update(priority=7)
        [same] = await place.store.get("default", [handle.id.split("/")[1]])
        assert stored is not None
        assert same is not None
        assert same.envelope == stored.envelope
        await handle.update(payload={"value": MARK}, metadata={"trace": MARK})
        with pytest.raises(rediq.TaskChanged, match="payload, priority, metadata"):
            await handle.update(seen=before, priority=3)
        with pytest.raises(DuplicateTask):
            await handle.enqueue_again()
        await handle.cancel()
        again = await handle.enqueue_again()
        assert dict((await again.info()).metadata) == {"trace": MARK}
        with pytest.raises(DuplicateTask):  # its key was not hashed a second time
            await us.enqueue(task)
        assert MARK.encode() not in await place.dump()
    async with client(place, OTHER) as stranger:
        for call in (again_of(stranger, again), stranger.task(again.id).update(priority=1)):
            with pytest.raises(PayloadError, match="with a key that is not among those given"):
                await call
    async with worker(place, OLD) as server:
        assert await server.client.task(again.id).result(timeout=WITHIN) == MARK


def again_of(stranger: rediq.Client, handle: rediq.TaskHandle[Any]) -> Any:
    return stranger.task(handle.id).enqueue_again()


async def test_a_change_that_comes_twice_is_made_once_though_encrypted_anew(place: Place) -> None:
    async with client(place, OLD) as us:
        handle = await us.enqueue(echo.task("a"))
        own = handle.id.split("/")[1]
        [record] = await us._store.get("default", [own])
        assert record is not None
        other = await us.enqueue(echo.task("b"))
        [changed] = await us._store.get("default", [other.id.split("/")[1]])
        assert changed is not None
        change = {"seen": record.version, "new": changed.version}
        for _ in range(2):
            assert (await us._store.update("default", own, **change)).done
        await us.task(f"default/{own}").update(payload={"value": "c"})
        assert not (await us._store.update("default", own, **change)).done


async def test_a_task_that_is_moved_is_encrypted_for_its_new_queue(place: Place) -> None:
    async with client(place, OLD) as us:
        handle = await us.enqueue(echo.options(delay=1000).task(MARK))
        moved = await handle.requeue("second")
        assert MARK.encode() not in await place.dump()
        await moved.run_now()
    async with worker(place, OLD) as server:
        assert await server.client.task(moved.id).result(timeout=WITHIN) == MARK
