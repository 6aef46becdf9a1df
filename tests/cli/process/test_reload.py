"""`rediq run --reload`, with real processes and files that change."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.process.reload import changes, find_files, watched_folder
from tests.cli.conftest import WITHIN, Command, Place, call, cli_call, cli_environment, eventually

APP = """
import trio, rediq_trio as rediq
from shop.answers import ANSWER
app = rediq.App()

@app.task("answer")
async def answer() -> str:
    return ANSWER

@app.task("wait-for", timeout=1000)
async def wait_for(path: str) -> str:
    while not await trio.Path(path).exists():
        await trio.sleep(0.02)
    return ANSWER
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an app of two modules."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "answers.py").write_text("ANSWER = 'one'\n", "utf-8")
    (tmp_path / "shop" / "tasks.py").write_text(APP, "utf-8")
    return tmp_path


Reloading = Callable[..., Command]


@pytest.fixture
def reloading(folder: Path, cli_place: Place, tmp_path: Path) -> Iterator[Reloading]:
    """Return a function that starts it in the folder."""
    started: list[Command] = []

    def start(*flags: str, target: str = "shop.tasks:app") -> Command:
        log = tmp_path / "log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "rediq_trio", "run", target, "--reload", *cli_place.flags, *flags],
                cwd=folder, env=cli_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        started.append(Command(child, log))
        return started[-1]

    yield start
    for command in started:
        if command.child.poll() is None:
            command.child.kill()  # its child ends too: its standard input is closed
            command.child.wait()


def write(folder: Path, name: str, text: str) -> None:
    """Write a module as editors do: a new file in place of the old one."""
    path = folder / "shop" / name
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)


async def answer(client: rediq.Client) -> str:
    handle = await client.enqueue(call("answer"))
    found: str = await handle.result(timeout=WITHIN)
    return found


def test_a_change_of_a_file_starts_the_worker_anew(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    command = reloading()

    async def main() -> None:
        async with cli_place.client() as client:
            assert await answer(client) == "one"
            # As long as before, and within the same second: bytecode would look current.
            write(folder, "answers.py", "ANSWER = 'two'\n")
            await command.wait_said(f"shop{os.sep}answers.py changed: restarting the worker")

            async def new_one() -> bool:
                return await answer(client) == "two"

            await eventually(new_one)
            write(folder, "more.py", "")
            await command.wait_said(f"shop{os.sep}more.py changed")
            assert await answer(client) == "two"
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
            assert await client.workers() == []

    trio.run(main)


def test_a_running_task_ends_before_the_new_worker_begins(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    command = reloading()
    end = folder / "end"

    async def main() -> None:
        async with cli_place.client() as client:
            slow = await client.enqueue(call("wait-for", path=str(end)))

            async def runs() -> bool:
                return (await client.queue("default").stats()).active == 1

            await eventually(runs)
            write(folder, "answers.py", "ANSWER = 'new'\n")
            await command.wait_said("stopping: running handlers have 30 s")
            quick = await client.enqueue(call("answer"))
            await trio.sleep(0.5)  # nobody is there to begin it
            assert (await quick.info()).state is rediq.State.PENDING
            end.touch()
            assert await slow.result(timeout=WITHIN) == "one"
            assert await quick.result(timeout=WITHIN) == "new"
            assert (await slow.info()).attempt == 1

    trio.run(main)


def test_a_task_that_outlasts_the_grace_is_run_again_by_the_new_worker(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    command = reloading("--shutdown-grace=0.2")
    end = folder / "end"

    async def main() -> None:
        async with cli_place.client() as client:
            slow = await client.enqueue(call("wait-for", path=str(end)))

            async def runs() -> bool:
                return (await client.queue("default").stats()).active == 1

            await eventually(runs)
            write(folder, "answers.py", "ANSWER = 'new'\n")
            await command.wait_said("restarting the worker")

            async def again() -> bool:
                info = await slow.info()
                return info.state is rediq.State.ACTIVE and len(command.said().split("serves")) == 3

            await eventually(again)
            end.touch()
            assert await slow.result(timeout=WITHIN) == "new"

    trio.run(main)


def test_an_error_of_the_new_code_is_shown_and_the_next_change_tried(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    command = reloading()

    async def main() -> None:
        async with cli_place.client() as client:
            assert await answer(client) == "one"
            write(folder, "answers.py", "ANSWER = = 'two'\n")
            said = await command.wait_said("the worker ended with status 2; it starts again when")
            assert "importing shop.tasks failed: SyntaxError" in said
            write(folder, "answers.py", "ANSWER = 'three'\n")
            assert await answer(client) == "three"
            write(folder, "answers.py", "raise RuntimeError('not now')\n")
            await command.wait_said("importing shop.tasks failed: RuntimeError: not now")
            command.signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)


def test_an_app_that_cannot_be_imported_at_first_is_waited_for(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    (folder / "shop" / "answers.py").unlink()
    command = reloading()

    async def main() -> None:
        async with cli_place.client() as client:
            await command.wait_said("No module named 'shop.answers'")
            await command.wait_said("it starts again when a file changes")
            write(folder, "answers.py", "ANSWER = 'it is there'\n")
            assert await answer(client) == "it is there"

    trio.run(main)


def test_a_second_signal_cancels_what_runs(
    reloading: Reloading, folder: Path, cli_place: Place
) -> None:
    command = reloading()

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("wait-for", path="/no/such/file"))

            async def runs() -> bool:
                return (await client.queue("default").stats()).active == 1

            await eventually(runs)
            command.signal()
            await command.wait_said("stopping: running handlers have 30 s")
            command.signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(command.end) == 0
            assert "second signal: cancelling what runs" in command.said()
            info = await handle.info()
            assert (info.state, info.attempt) == (rediq.State.PENDING, 0)

    trio.run(main)


def test_the_worker_ends_when_its_parent_is_killed(reloading: Reloading, cli_place: Place) -> None:
    command = reloading()

    async def main() -> None:
        async with cli_place.client() as client:
            assert await answer(client) == "one"
            command.signal(signal.SIGKILL)
            await trio.to_thread.run_sync(command.end)

            async def gone() -> bool:
                return await client.workers() == []

            await eventually(gone)

    trio.run(main)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--processes=2",), "processes=2: must be 1 with --reload"),
        (("--concurrency=0",), "concurrency=0"),
        (("--url=foo://x",), "url='foo://x'"),
    ],
)
def test_settings_that_no_change_of_a_file_corrects_are_refused(
    flags: tuple[str, ...], said: str
) -> None:
    found = cli_call("run", "served:app", "--reload", *flags)
    assert found.returncode == 2
    assert said in found.stderr
    assert found.stderr.count("\n") == 1


def test_only_files_that_the_app_may_import_are_watched(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", ".git/d.py", "__pycache__/e.py", "node_modules/f.py", "text.txt",
                 "venv/lib/g.py", "venv/pyvenv.cfg"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.py").symlink_to("/no/such/file")
    found = find_files(tmp_path)
    assert {os.path.relpath(path, tmp_path) for path in found} == {"a.py", "b/c.py"}
    assert find_files(tmp_path / "nowhere") == {}


def test_what_came_went_or_changed_is_a_change() -> None:
    before = {"a": (1, 1), "b": (1, 1), "c": (1, 1), "d": (1, 1)}
    after = {"a": (1, 1), "b": (2, 1), "c": (1, 2), "e": (1, 1)}
    assert changes(before, after) == ["b", "c", "d", "e"]
    assert changes(before, before) == []


def test_the_folder_of_an_app_is_found_without_importing_it(tmp_path: Path) -> None:
    here = str(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('it was imported')", "utf-8")
    assert watched_folder("mine:app", here) == tmp_path
    assert watched_folder("nowhere.at.all:app", here) == tmp_path
    assert watched_folder("msgpack:app", here).name == "msgpack"
    assert watched_folder("", here) == tmp_path
    assert not re.search("mine", " ".join(sys.modules))
