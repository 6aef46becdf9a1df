"""`rediq doctor` on real servers, each with one fault."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.main import main
from rediq_trio.cli.setup.diagnosis import Diagnosis, judge_persistence, judge_server
from rediq_trio.cli.setup.permissions import READER_COMMANDS, WORKER_COMMANDS
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from tests.cli.conftest import cli_call
from tests.security.rights import line_of, rights_of
from tests.servers import Server, find_servers, require_any_server, running_server, wait_ready

PASSWORD = "PASSWORD"


@pytest.fixture(scope="module")
def module_server() -> Iterator[Server]:
    """Return a server that keeps what it has, as it should be."""
    with running_server(require_any_server()) as server:
        configure(server, b"CONFIG", b"SET", b"appendonly", b"yes")
        yield server


@pytest.fixture
def clean_server(module_server: Server) -> Server:
    configure(module_server, b"FLUSHALL")
    return module_server


def operating(server: Server, work: Callable[[Gateway], Awaitable[None]]) -> None:
    """Do something as an operator."""

    async def run() -> None:
        async with open_gateway(parse_address(server.url), Keys("none")) as gateway:
            await work(gateway)

    trio.run(run)


def configure(server: Server, *command: Any) -> None:
    async def work(gateway: Gateway) -> None:
        await gateway.call(*command)

    operating(server, work)


Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Return a function that runs it; gives its status and the lines that are not ok, by their names."""

    def run(url: str, *flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
        monkeypatch.setenv("REDIQ_URL", url)
        status = main(["doctor", "--json", *flags])
        said = json.loads(capsys.readouterr().out)
        assert said["rediq"] == 1
        assert said["ok"] is (status == 0)
        assert all(bool(one["next_step"]) == (one["state"] == "wrong") for one in said["checks"])
        return status, {one["name"]: one for one in said["checks"] if one["state"] != "ok"}

    return run


def test_each_line_of_a_good_server_is_ok(clean_server: Server, doctor: Doctor) -> None:
    assert doctor(clean_server.url) == (0, {})
    found = cli_call("doctor", REDIQ_URL=clean_server.url)
    lines = found.stdout.splitlines()
    assert found.returncode == 0
    assert [line.split()[:2] for line in lines] == [
        ["ok", name]
        for name in ("url", "connection", "version", "role", "eviction", "memory", "persistence",
                     "latency", "clock", "rights", "formats", "leases", "keys")
    ]  # fmt: skip
    assert max(map(len, lines)) < 100


def test_it_leaves_nothing_and_changes_nothing(clean_server: Server, doctor: Doctor) -> None:
    assert doctor(clean_server.url)[0] == 0

    async def look(gateway: Gateway) -> None:
        assert await gateway.call(b"KEYS", b"*") == []

    operating(clean_server, look)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_server_that_may_evict_keys_is_found(
    clean_server: Server, doctor: Doctor, policy: str
) -> None:
    configure(clean_server, b"CONFIG", b"SET", b"maxmemory-policy", policy)
    try:
        status, found = doctor(clean_server.url)
    finally:
        configure(clean_server, b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction")
    assert (status, [*found]) == (1, ["eviction"])
    assert policy in found["eviction"]["text"]
    assert "CONFIG SET maxmemory-policy noeviction" in found["eviction"]["next_step"]


@pytest.mark.parametrize(
    ("save", "said"), [("", "none: a restart loses every task"), ("3600 1", "snapshots only")]
)
def test_a_server_without_persistence_is_found(
    clean_server: Server, doctor: Doctor, save: str, said: str
) -> None:
    configure(clean_server, b"CONFIG", b"SET", b"appendonly", b"no")
    configure(clean_server, b"CONFIG", b"SET", b"save", save)
    try:
        status, found = doctor(clean_server.url)
    finally:
        configure(clean_server, b"CONFIG", b"SET", b"save", b"")
        configure(clean_server, b"CONFIG", b"SET", b"appendonly", b"yes")
    assert (status, [*found]) == (1, ["persistence"])
    assert found["persistence"]["text"].startswith(said)
    assert "CONFIG SET appendonly yes" in found["persistence"]["next_step"]


def test_a_server_that_is_nearly_full_is_found(clean_server: Server, doctor: Doctor) -> None:
    configure(clean_server, b"CONFIG", b"SET", b"maxmemory", b"900kb")
    try:
        status, found = doctor(clean_server.url)
    finally:
        configure(clean_server, b"CONFIG", b"SET", b"maxmemory", b"0")
    assert (status, [*found][:1]) == (1, ["memory"])
    assert "raise maxmemory" in found["memory"]["next_step"]


def test_a_read_only_replica_is_found(clean_server: Server, doctor: Doctor) -> None:
    configure(clean_server, b"REPLICAOF", b"127.0.0.1", b"1")
    try:
        status, found = doctor(clean_server.url)
    finally:
        configure(clean_server, b"REPLICAOF", b"NO", b"ONE")
    assert (status, [*found]) == (1, ["role"])
    assert found["role"]["text"] == "a replica of 127.0.0.1:1, which takes no writes"
    assert "name its master" in found["role"]["next_step"]


def test_a_sentinel_is_found(doctor: Doctor) -> None:
    program = find_servers()[require_any_server()]
    with tempfile.TemporaryDirectory(prefix="rediq-sentinel-") as folder:
        path = f"{folder}/s"
        config = Path(folder) / "sentinel.conf"
        config.write_text(f"port 0\nunixsocket {path}\ndir {folder}\n", "utf-8")
        child = subprocess.Popen([program, config, "--sentinel"], stdout=subprocess.DEVNULL)
        try:
            wait_ready(child, path)
            status, found = doctor(f"unix://{path}")
        finally:
            child.terminate()
            child.wait()
    assert (status, found["role"]["text"]) == (1, "a Sentinel, which has no tasks")
    assert "redis+sentinel://" in found["role"]["next_step"]


def test_a_server_that_is_away_is_found(doctor: Doctor) -> None:
    status, found = doctor(f"unix://user:{PASSWORD}@/no/such/socket")
    assert (status, [*found]) == (1, ["connection"])
    assert "/no/such/socket" in found["connection"]["text"]
    assert "start it, or name another server" in found["connection"]["next_step"]


def test_a_server_that_does_not_answer_is_given_up(doctor: Doctor) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="rediq-silent-") as folder,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.bind(f"{folder}/s")
        silent.listen()
        status, found = doctor(f"unix://{folder}/s", "--timeout=300ms")
    assert (status, [*found]) == (1, ["timeout"])


def test_a_wrong_password_is_found_and_never_shown(clean_server: Server, doctor: Doctor) -> None:
    status, found = doctor(f"unix://nobody:{PASSWORD}@{clean_server.socket}")
    assert (status, [*found]) == (1, ["connection"])
    assert "refused the user or password" in found["connection"]["text"]
    assert PASSWORD not in str(found)
    assert "nobody" not in found["connection"]["text"].replace(clean_server.socket, "")


def test_a_password_on_the_command_line_is_found_and_never_shown(clean_server: Server) -> None:
    url = f"unix://default:{PASSWORD}@{clean_server.socket}"
    found = cli_call("doctor", f"--url={url}")
    assert found.returncode == 1
    assert "set REDIQ_URL instead of --url" in found.stdout
    assert PASSWORD not in found.stdout + found.stderr


# --- rights


def user_of(server: Server, words: list[str]) -> str:
    """Make a user with these rights; return its URL."""
    configure(server, b"ACL", b"SETUSER", b"seen", b"reset")
    configure(server, b"ACL", b"SETUSER", b"seen", *words)
    return f"unix://seen:{PASSWORD}@{server.socket}"


def missing(found: dict[str, dict[str, Any]]) -> set[str]:
    text: str = found["rights"]["text"]
    listed = re.fullmatch(r"missing: ([^(]*?)( \(.*)?", text)
    assert listed is not None
    return {*listed[1].split()}


def test_the_rights_are_those_of_the_documentation() -> None:
    assert {f"+{name}" for name in WORKER_COMMANDS} | {"~rediq:*", "~rediq/*", "&rediq:*"} == {
        *rights_of("rediq")
    }
    readers = {right for right in rights_of("rediq-reader") if right[0] == "+"}
    assert {f"+{name}" for name in READER_COMMANDS} == readers


def test_a_user_with_the_least_rights_has_all(server: Server, doctor: Doctor) -> None:
    _, found = doctor(user_of(server, line_of("rediq")))
    assert [*found] == ["persistence"]  # the other servers of the tests keep nothing
    assert "cannot be seen without +config|get" in found["persistence"]["text"]


@pytest.mark.parametrize("right", rights_of("rediq"))
def test_each_missing_right_is_named(server: Server, doctor: Doctor, right: str) -> None:
    words = [word for word in line_of("rediq") if word != right]
    status, found = doctor(user_of(server, words))
    assert status == 1
    assert missing(found) == {right}
    assert f"ACL SETUSER USER {right}; docs/security.md" in found["rights"]["next_step"]


def test_a_user_that_may_only_read_is_named_so(clean_server: Server, doctor: Doctor) -> None:
    status, found = doctor(user_of(clean_server, line_of("rediq-reader")))
    assert (status, [*found]) == (1, ["rights"])
    lacks = {*rights_of("rediq")} - {*rights_of("rediq-reader")}
    # What would not be removed again is not tried.
    assert missing(found) == lacks - {"+hsetnx", "+sadd"}
    assert "it may look at everything, but neither work nor enqueue" in found["rights"]["text"]


def test_a_user_without_any_right_is_told_what_is_missing(
    clean_server: Server, doctor: Doctor
) -> None:
    status, found = doctor(user_of(clean_server, ["on", f">{PASSWORD}"]))
    assert status == 1
    assert {"+info", "+ping", "+eval", "+evalsha", "+subscribe", "+scan"} <= missing(found)
    assert found["server"]["state"] == "unknown"


def test_a_user_of_one_queue_is_looked_at_in_that_queue(
    clean_server: Server, doctor: Doctor
) -> None:
    keys = [
        "~rediq:{mail}:*",
        "~rediq:{mail~*}:*",
        "~rediq/*",
        "&rediq:{mail}:*",
        "&rediq:{mail~*}:*",
    ]
    words = [word for word in line_of("rediq") if word[0] not in "~&"] + keys
    url = user_of(clean_server, words)
    assert doctor(url, "--queue=mail") == (0, {})
    status, found = doctor(url)
    assert (status, missing(found)) == (1, {"~rediq:*", "&rediq:*"})
    assert "name it with --queue" in found["rights"]["next_step"]


# --- the way to it


@asynccontextmanager
async def between(
    server: Server, change: Callable[[bytes], Awaitable[bytes]]
) -> AsyncGenerator[str]:
    """Yield the URL of a proxy that changes what the server answers."""
    with (
        tempfile.TemporaryDirectory(prefix="rediq-proxy-") as folder,
        trio.socket.socket(trio.socket.AF_UNIX) as unbound,
    ):
        await unbound.bind(f"{folder}/s")
        unbound.listen()
        listener = trio.SocketListener(unbound)

        async def serve(client: trio.SocketStream) -> None:
            upstream = await trio.open_unix_socket(server.socket)
            async with client, upstream, trio.open_nursery() as nursery:

                async def forth() -> None:
                    async for some in client:
                        await upstream.send_all(some)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(forth)
                async for some in upstream:
                    await client.send_all(await change(some))
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            yield f"unix://{folder}/s"
            nursery.cancel_scope.cancel()


async def in_a_thread(doctor: Doctor, url: str) -> tuple[int, dict[str, dict[str, Any]]]:
    return await trio.to_thread.run_sync(doctor, url)


async def test_a_slow_way_is_found(module_server: Server, doctor: Doctor) -> None:
    async def slow(some: bytes) -> bytes:
        await trio.sleep(0.08)
        return some

    async with between(module_server, slow) as url:
        status, found = await in_a_thread(doctor, url)
    assert (status, [*found]) == (1, ["latency"])
    assert "run workers nearer" in found["latency"]["next_step"]


@pytest.mark.parametrize(("ahead", "said"), [(90, "1 min 30 s ahead of"), (-7, "7.0 s later than")])
async def test_another_clock_is_found(
    module_server: Server, doctor: Doctor, ahead: int, said: str
) -> None:
    async def later(some: bytes) -> bytes:
        # The reply to TIME: seconds and microseconds.
        reply = re.fullmatch(rb"\*2\r\n\$10\r\n(\d{10})(\r\n\$\d\r\n\d+\r\n)", some)
        return some if reply is None else b"*2\r\n$10\r\n%d%b" % (int(reply[1]) + ahead, reply[2])

    async with between(module_server, later) as url:
        status, found = await in_a_thread(doctor, url)
    assert (status, [*found]) == (1, ["clock"])
    assert re.search(said.replace("7.0", r"[67]\.\d") + " this machine's", found["clock"]["text"])
    assert found["clock"]["next_step"] == "synchronize both machines with NTP"


# --- what is stored


def test_records_of_a_newer_version_are_found(clean_server: Server, doctor: Doctor) -> None:
    async def work(gateway: Gateway) -> None:
        async with rediq.connect(clean_server.url) as client:
            await client.enqueue(rediq.Task("t", None, queue="mail"))
        await gateway.call(b"HSET", b"rediq:{mail}:records", b"new", msgpack.packb([200, 1]))

    operating(clean_server, work)
    status, found = doctor(clean_server.url)
    assert (status, [*found]) == (1, ["formats"])
    assert found["formats"]["text"].startswith("format 3 in 1 of 2 records of 1 queue looked at")


def test_leases_that_ran_out_unseen_are_found(clean_server: Server, doctor: Doctor) -> None:
    async def work(gateway: Gateway) -> None:
        await gateway.call(b"SADD", b"rediq/queues", b"mail", b"news")
        await gateway.call(b"ZADD", b"rediq:{mail}:active", 1_000, b"a", 2_000, b"b")
        seconds, _ = await gateway.call(b"TIME")
        await gateway.call(b"ZADD", b"rediq:{news}:active", int(seconds) * 1000 - 1, b"just now")

    operating(clean_server, work)
    status, found = doctor(clean_server.url)
    assert (status, [*found]) == (1, ["leases"])
    assert found["leases"]["text"] == "2 tasks of mail run by workers that are gone"


def test_a_queue_whose_name_is_lost_is_found(clean_server: Server, doctor: Doctor) -> None:
    async def work(gateway: Gateway) -> None:
        async with rediq.connect(clean_server.url) as client:
            await client.enqueue(rediq.Task("t", None, queue="mail"))
        assert doctor_is_content()
        await gateway.call(b"SREM", b"rediq/queues", b"mail")

    def doctor_is_content() -> bool:
        return cli_call("doctor", REDIQ_URL=clean_server.url).returncode == 0

    operating(clean_server, work)
    status, found = doctor(clean_server.url)
    assert (status, [*found]) == (1, ["keys"])
    assert found["keys"]["text"] == "the name of 1 queue is lost: mail"


def test_keys_that_no_queue_has_are_found_and_shown_harmless(
    clean_server: Server, doctor: Doctor
) -> None:
    configure(clean_server, b"SET", b"rediq:{mail}:\x1b[31mred", b"1")
    status, found = doctor(clean_server.url)
    assert (status, [*found]) == (1, ["keys"])
    assert found["keys"]["text"] == r"1 key that no queue has: rediq:{mail}:\x1b[31mred"
    assert doctor(clean_server.url, "--key-prefix=other") == (0, {})


# --- judged by what the server says


def found_in(info: dict[str, str]) -> dict[str, Diagnosis]:
    return {one.name: one for one in judge_server(info) if one.state != "ok"}


def test_an_old_server_is_found() -> None:
    found = found_in({"redis_version": "5.0.14"})
    assert [*found] == ["version"]
    assert found["version"].next_step == "use Redis 6.2 or later, or Valkey"


def test_a_server_that_loads_its_data_is_found() -> None:
    assert [*found_in({"redis_version": "7.2.0", "loading": "1"})] == ["role"]


def test_what_a_server_says_and_cannot_be_read_is_unknown() -> None:
    found = found_in({"redis_version": "7.x", "used_memory": "much"})
    assert {name: one.state for name, one in found.items()} == {
        "version": "unknown", "memory": "unknown"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("info", "save", "said"),
    [
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, None, "cannot be written"),
        ({"aof_enabled": "0", "rdb_last_bgsave_status": "err"}, "1 1", "the last snapshot failed"),
    ],
)
def test_a_server_that_cannot_write_its_file_is_found(
    info: dict[str, str], save: str | None, said: str
) -> None:
    found = judge_persistence(info, save)
    assert found.state == "wrong"
    assert said in found.text
    assert "disk" in found.next_step


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--url=memory://",), "must be that of a server"),
        (("--url=foo://x",), "url='foo://x'"),
        (("--url=redis://h:1/0?nonsense=1",), "its query has an unknown option"),
        (("--queue=a b",), "queue='a b'"),
        (("--key-prefix=a b",), "key_prefix='a b'"),
        (("--timeout=soon",), "'soon': must be a duration"),
    ],
)
def test_bad_use_is_one_line_and_status_2(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(["doctor", *flags])
    except SystemExit as ended:
        status = ended.code
    output, errors = capsys.readouterr()
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert said in errors
