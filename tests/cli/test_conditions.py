"""Every command on servers that refuse: a replica, an old version, missing keys and rights, nobody there."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

import rediq_trio as rediq
from docs import output_schema
from rediq_trio.cli.setup.permissions import READER_COMMANDS
from tests.cli.conditions import LINES, READING, TO_WORKERS, WRITING, Filled, check_message, filled
from tests.cli.test_operate import Typed, typed
from tests.clusters import free_port

__all__ = ["typed"]

TO_LOOK = {"": 0, "status": 1, "doctor": 1, "worker show": 3, "history": 1}
"""The status of commands that only look, where it is not 0."""


@pytest.fixture(autouse=True)
def _editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/50,$/9,/")
    # Whoever types it waits half a minute for a failover; here none comes.
    for module in ("operate.session", "setup.bench"):
        impatient = partial(rediq.connect, patience=0.2)
        monkeypatch.setattr(f"rediq_trio.cli.{module}.connect", impatient)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled(tmp_path_factory.mktemp("filled")) as found:
        yield found


def test_the_table_has_every_command() -> None:
    assert {*LINES} | {"replay", "sim"} == output_schema.OUTPUTS.keys()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled(tmp_path_factory.mktemp("replica")) as found:
        # Its primary is nowhere, so it keeps what it has.
        found.node.ask("REPLICAOF", "127.0.0.1", "1")
        yield found


@pytest.mark.parametrize("command", LINES)
def test_a_replica_shows_everything_and_changes_nothing(
    command: str, replica: Filled, typed: Typed
) -> None:
    said = typed(*replica.words(command), flags=replica.place.flags)
    if command in READING:
        assert said.status == TO_LOOK.get(command, 0), said
        assert "Traceback" not in said.err
        return
    if command in TO_WORKERS:
        assert said.status == 3
        return
    line = check_message(said, command)
    assert said.status == 1
    assert "READONLY" in line
    assert line.endswith("name its primary with --url or REDIQ_URL")


class _Older(socketserver.BaseRequestHandler):
    """Pass what is said to a server on, and say of its version that it is 6.0."""

    def handle(self) -> None:
        here: socket.socket = self.request
        with socket.create_connection(("127.0.0.1", self.server.behind)) as there:  # type: ignore[attr-defined]
            answers = threading.Thread(target=_pass_on, args=(there, here))
            answers.start()
            _pass_on(here, there)
            answers.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**20):
            target.sendall(re.sub(rb"redis_version:\d\.\d", b"redis_version:6.0", data))
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def older(port: int) -> Iterator[int]:
    """Run what seems to be a server of version 6.0; return its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Older) as found:
        found.behind = port  # type: ignore[attr-defined]
        serving = threading.Thread(target=found.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield found.server_address[1]
        finally:
            found.shutdown()
            serving.join()


@pytest.fixture(scope="module")
def old_port(server: Filled) -> Iterator[int]:
    with older(server.node.port) as port:
        yield port


@pytest.mark.parametrize("command", LINES)
def test_a_server_of_an_old_version_is_refused_with_the_version_that_is_needed(
    command: str, server: Filled, old_port: int, typed: Typed
) -> None:
    said = typed(*server.words(command), flags=[f"--url=redis://127.0.0.1:{old_port}"])
    if command == "doctor":
        assert (said.status, said.err) == (1, "")
        assert "use Redis 6.2 or later, or Valkey" in said.out
        return
    line = check_message(said, command)
    assert (said.status, said.out) == (2, "")
    assert "is Redis 6.0" in line
    assert "6.2 or later is needed" in line


@pytest.mark.parametrize("command", LINES)
def test_where_nobody_answers_each_command_says_so_with_what_to_do(
    command: str, server: Filled, typed: Typed
) -> None:
    said = typed(*server.words(command), flags=[f"--url=redis://127.0.0.1:{free_port()}"])
    if command == "doctor":
        assert said.status == 1
        return
    line = check_message(said, command)
    assert (said.status, said.out) == (1, "")
    assert line.endswith("Start it, or name another server with --url or REDIQ_URL")


RIGHTS = {
    "a reader": ["~rediq*", "&rediq*", *sorted(f"+{name}" for name in READER_COMMANDS)],
    "nothing": ["+info"],
}


@pytest.mark.parametrize("rights", RIGHTS)
@pytest.mark.parametrize("command", LINES)
def test_the_right_that_is_missing_is_named(
    command: str, rights: str, server: Filled, typed: Typed
) -> None:
    server.node.ask("ACL", "SETUSER", "some", "reset", "on", ">secret", *RIGHTS[rights])
    url = f"--url=redis://some:secret@127.0.0.1:{server.node.port}"
    said = typed(*server.words(command), flags=[url])
    if rights == "a reader" and command not in WRITING:
        assert said.status == (3 if command in TO_WORKERS else TO_LOOK.get(command, 0)), said
        return
    if command == "doctor":
        assert (said.status, "ACL SETUSER" in said.out) == (1, True)
        return
    line = check_message(said, command)
    assert said.status in (1, 2), line
    assert "secret" not in said.err
    assert "permission" in line or "right" in line, line


@pytest.mark.parametrize("command", LINES)
def test_without_the_keys_what_is_encrypted_is_not_shown_and_said_to_be(
    command: str, encrypted_server: Filled, typed: Typed
) -> None:
    said = typed(*encrypted_server.words(command), flags=encrypted_server.place.flags)
    assert "Traceback" not in said.err
    assert r"a\x1b" not in said.out + said.err
    if command in ("task show", "dead show"):
        assert "encrypted" in said.out


@pytest.fixture(scope="module")
def encrypted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    pytest.importorskip("cryptography")
    keys = rediq.Encryption(keys=[rediq.Encryption.generate_key()])
    with filled(tmp_path_factory.mktemp("encrypted"), keys) as found:
        yield found
