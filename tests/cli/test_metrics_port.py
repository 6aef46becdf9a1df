"""Probes and metrics of real processes: each has a port of its own."""

from __future__ import annotations

import re
import socket

import httpx
import pytest
import trio

from tests.cli.conftest import Place, Start, cli_call, eventually

PORT = re.compile(r"health and metrics at http://127\.0\.0\.1:(\d+)")


def free_ports(count: int) -> int:
    """Give the first of some ports in a row that are free now."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
        try:
            for following in range(port, port + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", following))
        except (OSError, OverflowError):
            continue
        return port


async def ready(port: int) -> str:
    """Wait until the worker behind a port is ready; give its metrics."""

    def ask() -> str:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return httpx.get(f"http://127.0.0.1:{port}/metrics").text
        except httpx.TransportError:
            pass  # it has not come up yet
        return ""

    return await eventually(lambda: trio.to_thread.run_sync(ask))


def test_a_worker_has_probes_and_metrics_at_the_port_it_is_told(
    cli_start: Start, cli_place: Place
) -> None:
    port = free_ports(1)
    command = cli_start("run", "served:app", *cli_place.flags, f"--metrics-port={port}")
    assert "rediq_worker_concurrency 10.0" in trio.run(ready, port)
    command.signal()
    assert command.end() == 0
    assert PORT.findall(command.said()) == [str(port)]


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_each_process_of_several_has_the_next_port(
    by: str, cli_start: Start, cli_place: Place
) -> None:
    port = free_ports(3)
    flags = [f"--metrics-port={port}"] if by == "flag" else []
    more = {} if by == "flag" else {"REDIQ_METRICS_PORT": str(port)}
    command = cli_start("run", "served:app", *cli_place.flags, "--processes=3", *flags, **more)

    async def all_ready() -> None:
        for following in range(port, port + 3):
            assert "rediq_worker_ready 1.0" in await ready(following)

    trio.run(all_ready)
    command.signal()
    assert command.end() == 0


def test_with_port_0_each_process_takes_one_that_is_free(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--processes=2", "--metrics-port=0")

    async def both_ready() -> None:
        async def told() -> list[str]:
            found = PORT.findall(command.said())
            return found if len(found) == 2 else []

        ports = await eventually(told)
        assert len(set(ports)) == 2
        for port in ports:
            assert "rediq_worker_ready 1.0" in await ready(int(port))

    trio.run(both_ready)
    command.signal()
    assert command.end() == 0


def test_a_port_that_is_taken_ends_it_with_status_2(cli_place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = cli_call("run", "served:app", *cli_place.flags, f"--metrics-port={port}")
    assert ended.returncode == 2
    assert f"rediq: metrics_port={port}: cannot listen on 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--metrics-port=70000"], "metrics_port=70000: must be"),
        (["--metrics-port=x"], "metrics_port='x': must be"),
        (["--metrics-address=example.org"], "metrics_address='example.org': must be an IP address"),
        (["--metrics-port=65535", "--processes=2"], "metrics_port=65535: must be at most 65534"),
    ],
)
def test_bad_ports_and_addresses_are_told(flags: list[str], said: str) -> None:
    ended = cli_call("run", "served:app", *flags)
    assert ended.returncode == 2
    assert said in ended.stderr
