from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.demo_tasks import File, failures_of, find_files
from tests.cli.conftest import HERE, Start, cli_call, cli_environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "files"
    (top / "below").mkdir(parents=True)
    for n in range(6):
        (top / "below" / f"file{n}").write_bytes(os.urandom(1000 * n))
    return top


def _check(output: str) -> None:
    assert "states     completed 6, dead 1, cancelled 1" in output
    assert "retried    3 attempts failed and were repeated: 1 tasks needed 2, 1 needed 3" in output
    assert "a-file-that-does-not-exist' (attempt 2)" in output
    assert re.search(r"trio\.Cancelled reached its handler [\d.]+ ms after cancel\(\)", output)
    assert "6 of 6 hashes agree with hashlib" in output
    assert "all invariants hold (checked on 8 tasks)" in output


@pytest.mark.usefixtures("embedded_server")
def test_the_demo_runs_on_a_private_server_and_finds_all_invariants_to_hold(folder: Path) -> None:
    found = cli_call("demo", str(folder))
    assert (found.returncode, found.stderr) == (0, "")
    _check(found.stdout)


def test_the_demo_runs_in_memory(folder: Path) -> None:
    found = cli_call("demo", str(folder), "--url=memory://", "--concurrency=1")
    assert (found.returncode, found.stderr) == (0, "")
    _check(found.stdout)


def test_the_demo_leaves_no_task_on_a_server_that_others_use(folder: Path, cli_redis: str) -> None:
    found = cli_call("demo", str(folder), REDIQ_URL=cli_redis)
    assert (found.returncode, found.stderr) == (0, "")

    async def look() -> None:
        async with rediq.connect(cli_redis, key_prefix="rediq-demo") as client:
            (queue,) = await client.queues()
            stats = await client.queue(queue).stats()
            assert (stats.enqueued, stats.deleted) == (208, 208)
            assert await client.workers() == []

    trio.run(look)


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    found = cli_call("demo", str(tmp_path))
    assert found.returncode == 2
    assert "a folder with readable files" in found.stderr


def test_ctrl_c_ends_the_demo_cleanly(cli_start: Start, tmp_path: Path) -> None:
    command = cli_start("demo", "--concurrency=1", TMPDIR=str(tmp_path))
    trio.run(command.wait_said, "enqueued: ")
    command.signal(signal.SIGINT)
    assert command.end() == 130
    assert "interrupted: the worker has stopped" in command.said()
    assert "Traceback" not in command.said()
    assert "lease" not in command.said()
    assert list(tmp_path.glob("rediq-*")) == []


def _on_a_terminal(*program: str) -> tuple[int, str]:
    """Run a Python program with a terminal as its output."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, *program],
        cwd=HERE,
        env=cli_environment(COLUMNS="120", TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 65536):
            output += part
    except OSError:  # how a pseudo-terminal ends
        pass
    finally:
        os.close(ours)
    return child.wait(30), output.decode()


def test_a_terminal_gets_bars_and_colours(folder: Path) -> None:
    status, output = _on_a_terminal("-m", "rediq_trio", "demo", str(folder))
    assert status == 0
    assert "\x1b[" in output
    assert "8/8" in output
    assert "all invariants hold" in output


def test_a_terminal_gets_plain_text_where_rich_is_not_installed(folder: Path) -> None:
    hidden = "import sys; sys.modules['rich'] = None; from rediq_trio.cli.main import main; "
    program = ("-c", f"{hidden}sys.exit(main(['demo', {str(folder)!r}]))")
    status, output = _on_a_terminal(*program)
    assert status == 0
    assert "\x1b[" not in output
    _check(output)


def _found(folder: Path) -> list[File]:
    async def find() -> list[File]:
        return await trio.to_thread.run_sync(lambda: find_files(folder, skip=("skipped",)))

    return trio.run(find)


def test_only_regular_files_are_found_in_order(folder: Path) -> None:
    (folder / "skipped").mkdir()
    (folder / "skipped" / "file").touch()
    (folder / "link").symlink_to(folder / "below" / "file1")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    odd = os.fsencode(folder) + b"/not-text-\xff"
    Path(os.fsdecode(odd)).touch()
    files = _found(folder)
    below = [os.fsencode(folder / "below" / f"file{n}") for n in range(6)]
    assert [file.path for file in files] == [*below, odd]
    assert [file.size for file in files] == [0, 1000, 2000, 3000, 4000, 5000, 0]


def test_a_name_that_is_no_text_is_hashed(folder: Path) -> None:
    odd = os.fsencode(folder) + b"/below/\xff"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    found = cli_call("demo", str(folder))
    assert (found.returncode, found.stderr) == (0, "")
    assert "7 of 7 hashes agree" in found.stdout


def test_the_same_files_are_made_to_fail_each_time() -> None:
    assert [failures_of(place) for place in range(3)] == [1, 2, 0]
    assert [place for place in range(410) if failures_of(place) == 2] == [1, 201, 401]


def test_the_demo_hashes_as_hashlib_does(folder: Path) -> None:
    from rediq_trio.cli.demo_tasks import sha256_of

    path = folder / "below" / "file5"
    assert sha256_of(os.fsencode(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
