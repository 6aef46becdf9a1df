"""No password in what the library says: errors and all that is chained to them, logs, reprs, `ps`."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, RediqError
from rediq_trio.store.opening import open_store
from rediq_trio.store.redis.connection.gateway import parse_address
from rediq_trio.store.urls import redacted, scheme_of, without_secrets
from tests.cli.conftest import Start, cli_call, eventually
from tests.clusters import free_port
from tests.servers import Server, open_redis_store

SECRET = "s3cr3t-of-the-test"
SHAPES = (
    "redis://user:{}@127.0.0.1:1/0", "redis://:{}@127.0.0.1:1", "rediss://user:{}@127.0.0.1:1/0",
    "redis://127.0.0.1:1?password={}", "redis://127.0.0.1:1/0?username=u&password={}&db=1",
    "unix://user:{}@/nowhere/socket", "unix:///nowhere/socket?password={}",
    "redis+sentinel://user:{}@127.0.0.1:1,127.0.0.1:2/main/0", "rediss+cluster://:{}@127.0.0.1:1",
    "redis+sentinel://127.0.0.1:1/main?sentinel_password={}", "redis+cluster://u:{}@127.0.0.1:1,[::1]:2",
    "redis://{}@127.0.0.1:1", "rediss://127.0.0.1:1?ssl_password={}",
)  # fmt: skip
"""What a URL with a password may look like."""


def everything(error: BaseException) -> str:
    """Give all that an error says: itself, its cause, its context and their tracebacks."""
    parts = ["".join(traceback.format_exception(error))]
    at: BaseException | None = error
    seen: list[BaseException] = []
    while at is not None and at not in seen:
        seen.append(at)
        parts += [str(at), repr(at), repr(at.args)]
        at = at.__cause__ or at.__context__
    return "\n".join(parts)


def said_of(call: Callable[[], object]) -> str:
    """Give all that a call says by its value, or by its error."""
    try:
        value = call()
    except RediqError as error:
        return everything(error)
    return f"{value} {value!r}"


# Long enough not to be in a traceback, or in the rest of a URL, by chance.
passwords = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), min_size=8
) | st.text("?#@/:&=%[],;+ \\'\"0123abc", min_size=8)


@given(password=passwords, shape=st.sampled_from(SHAPES), encode=st.booleans())
@example("12345678@1", SHAPES[0], False)
@example("?password=a@bcdefgh", SHAPES[3], False)
@example("12345678?x=y", SHAPES[0], False)
@example("a@bcdefgh", SHAPES[4], False)
@example("?00000000", SHAPES[0], False)
@example("x&00000000", SHAPES[3], False)
@example("?abcdefgh=x", SHAPES[0], False)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_url_shows_its_password_however_it_is_written(
    password: str, shape: str, encode: bool
) -> None:
    written = quote(password, safe="") if encode else password
    url = shape.format(written)
    shown = [str(redacted(url)), without_secrets(f"cannot use {url} now")]
    if not encode:
        # In a sentence, a URL ends at a blank.
        del shown[1:]
    for read in (parse_address, scheme_of):
        if read is scheme_of or url.partition("://")[0] in ("redis", "rediss", "unix"):
            with suppress(KeyError):
                shown.append(said_of(lambda read=read: read(url)).replace("'...'", ""))
    rest = shape.replace("{}", "")
    for text in shown:
        for form in {password, quote(password, safe=""), quote(password)}:
            assert form in rest or form not in text, (form, text)
            # Not the larger part of it either.
            for part in re.split(r"[@?#/:&=,]", form):
                assert len(part) < 8 or part in rest or part not in text, (part, text)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_shown_with_its_hosts(shape: str) -> None:
    shown = str(redacted(shape.format(SECRET)))
    assert SECRET not in shown
    assert "127.0.0.1:1" in shown or "/nowhere/socket" in shown


BAD = (
    "memory://u:{}@h", "embedded://u:{}@h", "mysql://u:{}@h", "redis://u:{}", "redis://:{}", ":{}@h",
    "redis:u:{}@h", "{}1://h", "redis://h:{}", "redis://u:{}@h?what={}", "redis://h?what={}@x",
    "redis://u:p?x={}@h", "embedded://{}",
)  # fmt: skip


@pytest.mark.parametrize("shape", BAD)
async def test_a_bad_url_is_refused_without_its_password(shape: str) -> None:
    url = shape.replace("{}", SECRET if "://{}" not in shape else f"u:{SECRET}@h")
    with pytest.raises(ConfigError) as caught:
        async with open_store(url):
            pass
    assert SECRET not in everything(caught.value)


def _errors(url: str) -> str:
    """Give all that a failing connect and a failing worker say."""

    async def main() -> str:
        said: list[str] = []
        for attempt in (rediq.connect(url), rediq.serve(rediq.App(), url)):
            with pytest.raises((ConfigError, ConnectionLost)) as caught:
                async with attempt:
                    pass
            said.append(everything(caught.value))
        return "".join(said)

    return trio.run(main)


@pytest.fixture
def guarded(redis_server: Server) -> str:
    """Give the socket of a server that knows a user by that password only."""

    async def main() -> None:
        async with open_redis_store(redis_server) as opened:
            await opened.gateway.call(
                b"ACL", b"SETUSER", b"keeper", b"on", f">{SECRET}", b"~*", b"&*", b"+@all"
            )

    trio.run(main)
    return redis_server.socket


def test_an_error_of_connecting_says_no_password(
    guarded: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    for url in (
        f"redis://user:{SECRET}@127.0.0.1:{port}/0",  # wrong port
        f"rediss://user:{SECRET}@127.0.0.1:{port}/0",
        f"redis://user:{SECRET}@host.invalid:6379",  # wrong host
        f"unix://keeper:not-{SECRET}@{guarded}",  # wrong password
        f"unix://nobody:{SECRET}@{guarded}",  # wrong user
        f"unix://keeper:{SECRET}@{guarded}-not",
        f"unix://keeper:{SECRET}@{guarded}?db=99999",  # wrong database
        f"redis://127.0.0.1:{port}?password={SECRET}",
    ):
        assert SECRET not in _errors(url)
        monkeypatch.setenv("REDIQ_URL", url)
        assert SECRET not in _errors_of_default()
    assert SECRET not in caplog.text


def _errors_of_default() -> str:
    async def main() -> str:
        with pytest.raises((ConfigError, ConnectionLost)) as caught:
            async with rediq.connect():
                pass
        return everything(caught.value)

    return trio.run(main)


async def test_a_worker_says_no_password_of_itself(
    guarded: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = rediq.App()

    @app.task("look")
    async def look() -> str:
        return repr(rediq.current_task()) + repr(vars(rediq.current_task().client))

    url = f"unix://keeper:{SECRET}@{guarded}"
    async with rediq.serve(app, url) as server:
        client = server.client
        handle = await client.enqueue(look.task())
        seen = [
            await handle.result(timeout=20), server.info(), server.stats(), client, handle,
            await client.workers(), await client._store.workers(), client._store,
            vars(client._store), vars(server), vars(server._worker), vars(client._store._gateway),  # type: ignore[attr-defined]
        ]  # fmt: skip
    assert SECRET not in repr(seen)
    assert SECRET not in caplog.text


def _family(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def test_no_process_of_a_fleet_has_the_password_on_its_command_line(
    cli_start: Start, guarded: str
) -> None:
    url = f"unix://keeper:{SECRET}@{guarded}"
    command = cli_start("run", "served:app", "--processes=2", REDIQ_URL=url)

    async def main() -> None:
        async with rediq.connect(url) as client:

            async def both() -> bool:
                return len(await client.workers()) == 2

            await eventually(both)
            family = _family(command.pid)
            assert len(family) >= 3
            for process in family:
                assert SECRET not in repr(process.cmdline()) + process.name()
                assert SECRET not in await trio.Path(f"/proc/{process.pid}/comm").read_text()
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)
    assert SECRET not in command.said()


def test_a_password_given_on_the_command_line_is_warned_of_and_goes_no_further(
    cli_start: Start, guarded: str
) -> None:
    url = f"unix://keeper:{SECRET}@{guarded}"
    command = cli_start("run", "served:app", "--processes=2", f"--url={url}")

    async def main() -> None:
        async with rediq.connect(url) as client:

            async def both() -> bool:
                return len(await client.workers()) == 2

            await eventually(both)
            for process in _family(command.pid)[1:]:
                assert SECRET not in repr(process.cmdline())
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)
    said = command.said()
    assert "set REDIQ_URL instead" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "served:app", f"--url=redis://u:{SECRET}@127.0.0.1:1"),
        ("run", "served:app", f"--url=redis://u:{SECRET}@127.0.0.1:port"),
        ("run", "served:app", f"--url=redsi://u:{SECRET}@127.0.0.1"),
        ("run", "served:app", f"--utl=redis://u:{SECRET}@127.0.0.1"),
        ("run", "served:app", f"redis://u:{SECRET}@127.0.0.1"),
        ("run", f"redis://u:{SECRET}@127.0.0.1"),
        (f"redis://u:{SECRET}@127.0.0.1",),
        ("demo", f"--url=redis://u:{SECRET}@127.0.0.1:1"),
        ("run", "served:app", f"--concurrency=redis://u:{SECRET}@127.0.0.1"),
    ],
)
def test_the_command_says_no_password_when_it_fails(arguments: tuple[str, ...]) -> None:
    done = cli_call(*arguments, REDIQ_CONNECT_PATIENCE="0")
    assert done.returncode in (1, 2)
    assert SECRET not in done.stdout + done.stderr
    assert done.stderr


def test_the_command_says_no_password_of_the_environment_when_it_fails() -> None:
    url = f"redis://u:{SECRET}@127.0.0.1:1"
    done = cli_call("run", "served:app", REDIQ_URL=url, REDIQ_CONNECT_PATIENCE="0")
    assert done.returncode == 1
    assert "redis://127.0.0.1:1" in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.usefixtures("embedded_server")
async def test_an_embedded_server_has_no_password_to_show(tmp_path: Path) -> None:
    async with rediq.connect(f"embedded://{tmp_path}/data"):
        for process in psutil.Process(os.getpid()).children(recursive=True):
            assert "requirepass" not in repr(process.cmdline())
