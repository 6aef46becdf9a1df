"""Every program of the documentation runs, and prints what the documentation says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers import require_any_server, require_embedded, running_server

pytestmark = pytest.mark.uncounted

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
DEADLINE = 60.0
APART = {"notes_producer"}
"""Programs that need another one beside them."""
ALONE = sorted({path.stem for path in EXAMPLES.glob("*.out")} - APART)
"""Programs that need nothing beside them."""


def embeds(name: str) -> bool:
    """Return whether a program starts a server of its own."""
    return "embedded://" in (EXAMPLES / f"{name}.py").read_text("utf-8")


def _run(arguments: list[str], **variables: str) -> str:
    environment = {**os.environ, **variables}
    environment.setdefault("PYTHONUNBUFFERED", "1")
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _promised(name: str) -> str:
    return (EXAMPLES / f"{name}.out").read_text("utf-8")


@pytest.mark.parametrize("name", ALONE)
def test_a_program_prints_what_its_page_says(name: str) -> None:
    if embeds(name):
        require_embedded()
    assert _run([f"{name}.py"]) == _promised(name)


@pytest.mark.usefixtures("embedded_server")
def test_the_first_program_does_the_same_on_a_real_server() -> None:
    assert _run(["first_task.py"], REDIQ_URL="embedded://") == _promised("first_task")


@pytest.mark.parametrize("name", ["test_mail_app", "test_signup"])
def test_the_tests_of_the_testing_page_pass(name: str) -> None:
    assert " passed" in _run(["-m", "pytest", "-q", "-p", "no:cacheprovider", f"{name}.py"])


def test_a_store_of_ones_own_is_held_to_the_suite() -> None:
    said = _run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_claim", "test_my_store.py"]
    )
    assert " passed" in said


@pytest.fixture
def url() -> Iterator[str]:
    with running_server(require_any_server()) as server:
        yield server.url


@pytest.mark.skipif(find_spec("rediq_trio.cli") is None, reason="without the command line")
def test_a_producer_and_a_worker_meet_on_a_server(url: str) -> None:
    environment = {**os.environ, "REDIQ_URL": url}
    with tempfile.TemporaryFile() as said:
        worker = subprocess.Popen(
            [sys.executable, "-m", "rediq_trio", "run", "notes_app:app"],
            cwd=EXAMPLES,
            env=environment,
            stderr=said,
        )
        try:
            assert _run(["notes_producer.py"], REDIQ_URL=url) == _promised("notes_producer")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(DEADLINE) == 0
        finally:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


def test_every_program_is_run_by_a_test() -> None:
    run = {*ALONE, "mail_app", "test_mail_app", "test_signup", "notes_app", "notes_producer"}
    run.add("test_my_store")
    assert {path.stem for path in EXAMPLES.glob("*.py")} == run
