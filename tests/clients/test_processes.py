"""Clients and processes: forks, the exit of the interpreter, gunicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import rediq_trio as rediq
from tests.servers import Server
from tests.test_examples import environment

pytestmark = pytest.mark.uncounted

DEADLINE = 60
FORKS = ("-W", "ignore:This process:DeprecationWarning")
"""Python 3.12 warns of each fork of a process with threads."""


def run(program: str, *arguments: str, **more: str) -> str:
    """Run a program that must end by itself and complain of nothing; return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", *FORKS, "-c", program, *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


INTERRUPTED = """
import os, signal, sys, threading, time
import rediq_trio as rediq

with rediq.connect_sync(sys.argv[1], key_prefix=sys.argv[2]) as client:
    handle = client.enqueue(rediq.Task("none"))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        handle.result()
    except KeyboardInterrupt:
        print("interrupted", handle.info().state)
"""


def test_ctrl_c_interrupts_a_call_and_the_client_stays_usable(redis_server: Server) -> None:
    prefix = f"clients-{uuid.uuid4().hex[:12]}"
    assert run(INTERRUPTED, redis_server.url, prefix) == "interrupted pending\n"


FORK = """
import os, sys, traceback
import rediq_trio as rediq

url, prefix = sys.argv[1:]
client = rediq.connect_sync(url, key_prefix=prefix)
handle = client.enqueue(rediq.Task("parent"))
child = os.fork()
if child == 0:
    try:
        for call in (client.queues, handle.info, lambda: next(handle.progress())):
            try:
                call()
            except rediq.ConfigError as error:
                print(error)
        client.close()  # does nothing: it is the parent's
        with rediq.connect_sync(url, key_prefix=prefix) as own:
            own.enqueue(rediq.Task("child"))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
os.waitpid(child, 0)
print(client.queue("default").stats().pending)
"""


def test_a_child_is_refused_and_opens_its_own(redis_server: Server) -> None:
    said = run(FORK, redis_server.url, f"clients-{uuid.uuid4().hex[:12]}").splitlines()
    refused = (
        r"this client was opened in process \d+, before a fork: open one in each process, with "
        r"rediq\.connect_sync\(\)"
    )
    assert len(said) == 4
    for line in said[:3]:
        assert re.fullmatch(refused, line)
    assert said[3] == "2"


EXITS = {
    "not closed": "client.queues()",
    "a handle is kept": "handle = client.enqueue(rediq.Task('t'))",
    "a daemon waits": """
import threading
handle = client.enqueue(rediq.Task('t'))
threading.Thread(target=handle.result, daemon=True).start()
client.queues()
""",
    "used at exit": """
import atexit
atexit.register(lambda: print(client.queues()))
""",
    "asyncio": """
import asyncio
async def main():
    context = rediq.asyncio.connect(sys.argv[1])
    opened = await context.__aenter__()
    kept.append((context, opened))
    await opened.queues()
kept = []
asyncio.run(main())
""",
}


@pytest.mark.parametrize("name", EXITS)
def test_a_program_that_does_not_close_its_client_ends(name: str, redis_server: Server) -> None:
    begin = "import sys\nimport rediq_trio as rediq\nclient = rediq.connect_sync(sys.argv[1])\n"
    begun = time.monotonic()
    run(begin + EXITS[name], redis_server.url)
    assert time.monotonic() - begun < DEADLINE / 2


@pytest.mark.usefixtures("embedded_server")
def test_an_embedded_server_ends_with_a_program_that_does_not_close() -> None:
    program = "import rediq_trio as rediq\nrediq.connect_sync('embedded://').queues()\n"
    # The path of a socket is short, and that of a test's own folder is not.
    with tempfile.TemporaryDirectory(prefix="rq") as folder:
        run(program, TMPDIR=folder)
        assert [*Path(folder).iterdir()] == []
        assert [*_processes_that_name(folder)] == []


def _processes_that_name(text: str) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if text.encode() in command:
            yield folder.name


APP = """
import functools, json, os
import rediq_trio as rediq

URL, PREFIX = os.environ["URL"], os.environ["PREFIX"]
if os.environ["WHEN"] == "import":
    made = rediq.connect_sync(URL, key_prefix=PREFIX)
    client = lambda: made
else:
    client = functools.cache(lambda: rediq.connect_sync(URL, key_prefix=PREFIX))

def application(environ, start_response):
    try:
        said = {"id": client().enqueue(rediq.Task("t")).id, "process": os.getpid()}
    except rediq.ConfigError as error:
        said = {"error": str(error)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(said).encode()]
"""


@contextmanager
def gunicorn(folder: Path, *flags: str, **more: str) -> Generator[int]:
    """Run the program under gunicorn with two workers while the block lasts; yield its port."""
    (folder / "webapp.py").write_text(APP, "utf-8")
    log = folder / "log"
    command = [sys.executable, "-m", "gunicorn", "webapp:application", "--bind=127.0.0.1:0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--workers=2", "--threads=2", "--graceful-timeout=10", *flags],
            cwd=folder,
            env=environment(**more),
            stderr=output,
        )
    try:
        deadline = time.monotonic() + DEADLINE
        listening = None
        while listening is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
            listening = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())
        yield int(listening[1])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(DEADLINE) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def ask(port: int) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as answer:
        found: dict[str, str] = json.load(answer)
        return found


@pytest.mark.parametrize("flags", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn_workers_open_their_own_client(
    flags: tuple[str, ...], redis_server: Server, tmp_path: Path
) -> None:
    prefix = f"clients-{uuid.uuid4().hex[:12]}"
    more = {"URL": redis_server.url, "PREFIX": prefix, "WHEN": "use"}
    with gunicorn(tmp_path, *flags, **more) as port:
        answers = [ask(port) for _ in range(20)]
    assert [answer.get("error") for answer in answers] == [None] * 20
    assert len({answer["id"] for answer in answers}) == 20
    with rediq.connect_sync(redis_server.url, key_prefix=prefix) as client:
        assert client.queue("default").stats().pending == 20


@pytest.mark.parametrize("flags", [(), ("--preload",)], ids=["plain", "preload"])
def test_a_client_made_at_import_works_unless_it_is_preloaded(
    flags: tuple[str, ...], redis_server: Server, tmp_path: Path
) -> None:
    prefix = f"clients-{uuid.uuid4().hex[:12]}"
    more = {"URL": redis_server.url, "PREFIX": prefix, "WHEN": "import"}
    with gunicorn(tmp_path, *flags, **more) as port:
        answers = [ask(port) for _ in range(4)]
    for answer in answers:
        if flags:
            assert "before a fork: open one in each process" in answer["error"]
        else:
            assert answer["id"].startswith("default/")
            assert answer["process"] != os.getpid()
