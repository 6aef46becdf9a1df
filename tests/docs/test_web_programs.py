"""The programs of the page *In a web program*, started as a user starts them.

Each takes a report's order in one request and returns the report in another, and loses nothing
when it is stopped while a task runs.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

import rediq_trio as rediq
from docs.generate import HERE
from tests.cli.conftest import WITHIN, cli_environment, eventually
from tests.servers import require_any_server, running_server

pytestmark = pytest.mark.uncounted
PROGRAMS = HERE / "examples" / "web"
PAGE = (HERE / "in-a-web-program.md").read_text("utf-8")


@attrs.frozen
class Program:
    """A program of the page, and how it is started."""

    name: str
    command: tuple[str, ...]
    serves: bool
    """Whether it runs the tasks itself."""
    status: int = 0
    """Its exit status after SIGTERM. uvicorn stops in good order, and then sends itself the signal."""


def hypercorn(name: str) -> Program:
    command = ("hypercorn", "--worker-class", "trio", "--bind", "127.0.0.1:0", f"{name}:web")
    return Program(name, command, serves=True)


def gunicorn(name: str) -> Program:
    command = ("gunicorn", "--threads", "8", "--bind", "127.0.0.1:0", f"{name}:web")
    return Program(name, command, serves=False)


STARTED = [
    hypercorn("starlette_app"),
    hypercorn("fastapi_trio_app"),
    hypercorn("quart_app"),
    Program(
        "fastapi_app",
        ("uvicorn", "--port", "0", "fastapi_app:web"),
        serves=False,
        status=-signal.SIGTERM,
    ),
    gunicorn("flask_app"),
    gunicorn("django_app"),
]
TESTS = ["test_flask_app", "test_quart_app"]
WORKER = ("rediq_trio", "run", "reports:app")

each_program = pytest.mark.parametrize("program", STARTED, ids=lambda program: program.name)


@attrs.frozen
class Process:
    """A running program, in a process group of its own."""

    child: subprocess.Popen[bytes]
    log: Path

    async def wait_said(self, pattern: str) -> str:
        """Wait until the program has written what matches; return the first group."""

        async def look() -> str:
            said = self.log.read_text("utf-8")
            found = re.search(pattern, said)
            assert found or self.child.poll() is None, said
            return found[1] if found else ""

        return await eventually(look)

    async def stop(self) -> int:
        """Send SIGTERM to the program, as a supervisor does; return its exit status."""
        self.child.terminate()
        return await trio.to_thread.run_sync(self.child.wait, WITHIN)


Start = Callable[..., Process]


@pytest.fixture
def url() -> Iterator[str]:
    with running_server(require_any_server()) as server:
        yield server.url


@pytest.fixture
def start(tmp_path: Path, url: str) -> Iterator[Start]:
    started: list[Process] = []

    def start(*command: str) -> Process:
        log = tmp_path / f"log{len(started)}"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=PROGRAMS,
                env=cli_environment(REDIQ_URL=url, PYTHONUNBUFFERED="1"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        started.append(Process(child, log))
        return started[-1]

    yield start
    for process in started:
        if process.child.poll() is None:
            os.killpg(process.child.pid, signal.SIGKILL)  # its own group: the server's workers too
            process.child.wait()


@attrs.frozen
class Site:
    """A started program, and a browser that looks at it."""

    processes: tuple[Process, ...]
    browser: httpx.AsyncClient

    async def order(self, pages: int) -> str:
        parameters: dict[str, str | int] = {"customer": "Ada", "pages": pages}
        answer = await self.browser.post("/reports", params=parameters)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def look(self, report: str) -> dict[str, Any]:
        answer = await self.browser.get(f"/reports/{report}")
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    async def wait_state(self, report: str, state: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            seen = await self.look(report)
            return seen if seen["state"] == state else {}

        return await eventually(look)


@asynccontextmanager
async def site(program: Program, start: Start) -> AsyncIterator[Site]:
    processes = [start(*program.command)]
    if not program.serves:
        processes.append(start(*WORKER))
    port = await processes[0].wait_said(r"http://127\.0\.0\.1:(\d+)")
    async with AsyncExitStack() as stack:
        base = f"http://127.0.0.1:{port}"
        browser = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=WITHIN))
        yield Site(tuple(processes), browser)


@each_program
async def test_a_request_enqueues_and_another_reads_the_result(
    program: Program, start: Start
) -> None:
    async with site(program, start) as web:
        report = await web.order(pages=2)
        seen = await web.wait_state(report, "completed")
        assert seen["result"] == "2 pages for Ada"
        for unknown in ("default/none", "nonsense"):
            assert (await web.browser.get(f"/reports/{unknown}")).status_code == 404


@each_program
async def test_a_program_that_is_stopped_while_a_task_runs_finishes_it(
    program: Program, start: Start, url: str
) -> None:
    async with site(program, start) as web:
        report = await web.order(pages=20)
        await web.wait_state(report, "active")
        statuses = [await process.stop() for process in web.processes]
        wanted = [program.status, 0][: len(statuses)]
        assert statuses == wanted, [p.log.read_text("utf-8") for p in web.processes]
    async with rediq.connect(url) as client:
        info = await client.task(report).info()
        assert (info.state, info.result, info.attempt, info.deliveries) == (
            rediq.State.COMPLETED, "20 pages for Ada", 1, 1
        )  # fmt: skip
        assert await client.workers() == []
        assert await client.queue("default").check() == []


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_the_page_pass(name: str) -> None:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"{name}.py"]
    tested = subprocess.run(
        [sys.executable, *command],
        cwd=PROGRAMS,
        env=cli_environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout


def test_every_program_is_started_as_the_page_and_the_program_say() -> None:
    names = {program.name for program in STARTED}
    assert names | {"reports", *TESTS} == {path.stem for path in PROGRAMS.glob("*.py")}
    for program in STARTED:
        shown = re.sub(r" --bind \S+| --port \S+", "", " ".join(program.command))
        assert shown in (PROGRAMS / f"{program.name}.py").read_text("utf-8").splitlines()[0]
        assert f"docs/examples/web/{program.name}.py" in PAGE
