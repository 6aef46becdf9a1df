"""What systemd hears of real workers, at a datagram socket in its place."""

from __future__ import annotations

import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from rediq_trio import ConfigError
from rediq_trio.cli.process.service_manager import SelfReport, ServiceManager
from tests.cli.conftest import WITHIN, Place, Start, call, cli_call, eventually


@attrs.define(eq=False)
class Systemd:
    """A socket of systemd, and what it has heard."""

    address: str
    listener: socket.socket
    heard: list[list[str]] = attrs.field(factory=list[list[str]])

    def take(self) -> None:
        """Read what has come."""
        while True:
            try:
                self.heard.append(self.listener.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return

    @property
    def lines(self) -> list[str]:
        self.take()
        return [line for lines in self.heard for line in lines]

    def count(self, line: str) -> int:
        return self.lines.count(line)

    async def wait_line(self, begin: str) -> str:
        async def look() -> str:
            return next((line for line in self.lines if line.startswith(begin)), "")

        return await eventually(look)


@pytest.fixture(params=["a path", "an abstract name"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "a path" else f"@rediq-{uuid.uuid4().hex}"


@pytest.fixture
def systemd(address: str) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address[0] == "@" else address)
        listener.setblocking(False)
        yield Systemd(address, listener)


def test_a_worker_says_that_it_is_ready_and_then_that_it_stops(
    systemd: Systemd, cli_start: Start, cli_place: Place
) -> None:
    graces = ("--shutdown-grace=7", "--cleanup-grace=3")
    command = cli_start(
        "run", "served:app", *cli_place.flags, *graces, NOTIFY_SOCKET=systemd.address
    )

    async def main() -> None:
        async with cli_place.client() as client:
            await systemd.wait_line("READY=1")
            assert [worker.pid for worker in await client.workers()] in ([command.pid], [])
            handle = await client.enqueue(call("pid"))
            assert await handle.result(timeout=WITHIN) == command.pid
            await systemd.wait_line("STATUS=0 running, 1 completed, 0 failed")
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)
    systemd.take()
    # The start may last as long as Redis is waited for, and longer.
    assert systemd.heard[0] == ["STATUS=connecting", "EXTEND_TIMEOUT_USEC=90000000"]
    assert systemd.heard[1] == ["READY=1", "STATUS=0 running, 0 completed, 0 failed"]
    stopping = [lines for lines in systemd.heard if "STOPPING=1" in lines]
    assert stopping == [["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=12000000"]]
    assert systemd.count("WATCHDOG=1") == 0  # the unit has none


@pytest.mark.parametrize("address", ["a path"], indirect=True)
def test_a_worker_that_waits_for_redis_is_not_ready(systemd: Systemd, cli_start: Start) -> None:
    command = cli_start(
        "run", "served:app", "--url=unix:///no/such/socket", "--connect-patience=2",
        NOTIFY_SOCKET=systemd.address,
    )  # fmt: skip
    assert command.end() == 1
    assert systemd.lines == ["STATUS=connecting", "EXTEND_TIMEOUT_USEC=32000000"]


@pytest.mark.parametrize("address", ["a path"], indirect=True)
def test_the_watchdog_hears_a_worker_that_is_alive_and_none_that_is_blocked_for_good(
    systemd: Systemd, cli_start: Start, cli_place: Place
) -> None:
    command = cli_start(
        "run", "served:app", *cli_place.flags, "--lease=2", "--shutdown-grace=0",
        NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="600000",
    )  # fmt: skip

    async def main() -> None:
        async with cli_place.client() as client:

            async def often() -> bool:
                return systemd.count("WATCHDOG=1") >= 5

            await eventually(often)
            await client.enqueue(call("block-loop", seconds=600))
            # The loop is blocked, so nothing but a thread can say it.
            await systemd.wait_line("STATUS=the event loop has been blocked for longer than")
            before = systemd.count("WATCHDOG=1")
            statuses = sum(line.startswith("STATUS=") for line in systemd.lines)

            async def more() -> bool:
                return sum(line.startswith("STATUS=") for line in systemd.lines) > statuses + 5

            await eventually(more)
            assert systemd.count("WATCHDOG=1") == before
            command.signal(signal.SIGKILL)  # as systemd would
            await trio.to_thread.run_sync(command.end)

    trio.run(main)


@pytest.mark.parametrize("address", ["a path"], indirect=True)
def test_a_worker_is_watched_while_it_stops(
    systemd: Systemd, cli_start: Start, cli_place: Place, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    command = cli_start(
        "run", "served:app", *cli_place.flags, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="300000"
    )

    async def main() -> None:
        async with cli_place.client() as client:
            await client.enqueue(call("wait-for", path=str(end)))
            await systemd.wait_line("STATUS=1 running")
            command.signal()
            await systemd.wait_line("STOPPING=1")
            await systemd.wait_line("STATUS=the worker is stopping: 1 running")
            at_first = systemd.count("WATCHDOG=1")

            async def more() -> bool:
                return systemd.count("WATCHDOG=1") > at_first + 3

            await eventually(more)
            end.touch()
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)


def test_several_processes_are_ready_when_all_of_them_are(
    systemd: Systemd, cli_start: Start, cli_place: Place
) -> None:
    command = cli_start(
        "run", "served:app", *cli_place.flags, "--processes=2", "--shutdown-grace=1",
        NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="900000",
    )  # fmt: skip

    async def main() -> None:
        await systemd.wait_line("READY=1")
        async with cli_place.client() as client:

            async def both() -> bool:
                return len(await client.workers()) == 2

            await eventually(both)
        seen = systemd.count("WATCHDOG=1")

        async def more() -> bool:
            return systemd.count("WATCHDOG=1") > seen + 3

        await eventually(more)
        command.signal()
        assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)
    assert systemd.count("READY=1") == 1
    assert "STATUS=2 of 2 processes are ready" in systemd.lines
    # systemd would not accept what is not of the parent: nothing of a child comes through.
    assert not any("running" in line for line in systemd.lines)
    assert systemd.count("STOPPING=1") == 1


@pytest.mark.parametrize("address", ["a path"], indirect=True)
def test_one_blocked_process_of_several_stops_the_watchdog(
    systemd: Systemd, cli_start: Start, cli_place: Place
) -> None:
    command = cli_start(
        "run", "served:app", *cli_place.flags, "--processes=2", "--lease=2", "--shutdown-grace=0",
        NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="900000",
    )  # fmt: skip

    async def main() -> None:
        await systemd.wait_line("WATCHDOG=1")
        async with cli_place.client() as client:
            await client.enqueue(call("block-loop", seconds=20))

            async def quiet() -> bool:
                seen = systemd.count("WATCHDOG=1")
                await trio.sleep(1.5)  # five reports
                return systemd.count("WATCHDOG=1") == seen

            await eventually(quiet)
        command.signal()
        command.signal(signal.SIGINT)
        await trio.to_thread.run_sync(command.end)

    trio.run(main)


def test_the_variables_are_taken_from_the_environment_of_child_processes() -> None:
    environment = {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()),
                   "HOME": "/"}  # fmt: skip
    manager = ServiceManager.of(environment)
    assert environment == {"HOME": "/"}
    assert (manager.listens, manager.watchdog, manager.interval) == (True, 30, 5)
    assert ServiceManager.of({"WATCHDOG_USEC": "3"}).listens is False
    assert ServiceManager.of({"NOTIFY_SOCKET": "@s", "WATCHDOG_USEC": "1500000"}).interval == 0.5


def test_the_watchdog_of_another_process_is_left_to_it() -> None:
    environment = {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    assert ServiceManager.of(environment).watchdog is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"NOTIFY_SOCKET": "run/s"}, "NOTIFY_SOCKET='run/s': must be an absolute path, or @ and a"),
        ({"NOTIFY_SOCKET": "@"}, "NOTIFY_SOCKET='@': must be an absolute path, or @ and a name"),
        (
            {"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"},
            "WATCHDOG_USEC='soon': must be a number",
        ),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC='0': must be a number of"),
    ],
)
def test_what_systemd_would_not_set_is_refused(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ServiceManager.of(dict(variables))
    assert said in str(refused.value)
    found = cli_call("run", "served:app", "--burst", "--url=memory://", **variables)
    assert found.returncode == 2
    assert said in found.stderr


@pytest.mark.parametrize("gone", ["/no/such/socket", "@rediq-nobody-listens", "/" + "x" * 200])
def test_a_socket_that_nobody_reads_is_logged_once_and_the_worker_works(gone: str) -> None:
    found = cli_call("run", "served:app", "--burst", "--url=memory://", NOTIFY_SOCKET=gone)
    assert found.returncode == 0
    assert found.stderr.count("the service manager at NOTIFY_SOCKET=") == 1


def test_a_status_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.settimeout(WITHIN)
        manager = ServiceManager.of(
            {"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": "60000"}
        )
        begun = time.monotonic()
        with manager.reporting(lambda: SelfReport(True, "a\nREADY=0\n  b")):
            assert listener.recv(4096) == b"READY=1\nSTATUS=a READY=0 b"
            assert listener.recv(4096) == b"WATCHDOG=1\nSTATUS=a READY=0 b"
        assert time.monotonic() - begun >= 0.02
