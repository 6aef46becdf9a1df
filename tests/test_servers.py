"""The tests pass on a machine with any set of servers, and one line names each that is missing."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import run_pytest
from tests.servers import LOOKED_IN, SERVERS, ServerMissing, find_servers, require_server

EVERY_STORE = "tests/conformance/test_purge.py"
NEEDS_WAITAOF = "tests/ha/test_durability.py::test_fsynced_is_refused_where_it_cannot_be_had"
NEEDS_EMBEDDED = "tests/store/test_embedded.py::test_the_server_lives_as_long_as_the_block"
SOME = (EVERY_STORE, NEEDS_WAITAOF, NEEDS_EMBEDDED)

BARE = """
import tests.servers

tests.servers._candidates = lambda: iter(())
"""
"""A plugin of pytest that lets a machine look as if it had no server."""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Return what lets `run_pytest` find the plugin `bare`."""
    (tmp_path / "bare.py").write_text(BARE, "utf-8")
    return {"more_path": str(tmp_path)}


def not_run(said: str) -> dict[str, tuple[int, str]]:
    """Return how many tests each line says were not run, and why, by what is missing."""
    lines = re.findall(r"^(.*): ([\d,]+) tests? (?:was|were) not run \((.*)\)$", said, re.M)
    return {what: (int(times.replace(",", "")), why) for what, times, why in lines}


def passed(said: str) -> int:
    found = re.search(r"(\d+) passed", said)
    return int(found[1]) if found else 0


def test_without_any_server_the_tests_in_memory_run(bare: dict[str, str]) -> None:
    done = run_pytest("-p", "bare", *SOME, **bare)
    assert done.returncode == 0, done.stdout
    in_memory = passed(done.stdout)
    missing = {f"{name} is not on this machine": (in_memory, LOOKED_IN) for name in SERVERS}
    # Two tests of durability and one of the embedded server want whichever there is.
    missing["no server is on this machine"] = (3, LOOKED_IN)
    assert not_run(done.stdout) == missing
    assert in_memory > 10
    assert "SKIPPED" not in done.stdout


@pytest.mark.parametrize("name", SERVERS)
def test_with_one_server_alone_the_tests_pass(name: str) -> None:
    require_server(name)
    done = run_pytest(*SOME, REDIQ_TEST_SERVERS=name)
    assert done.returncode == 0, done.stdout
    why = f"REDIQ_TEST_SERVERS={name}"
    missing = not_run(done.stdout)
    (what,) = [one for one in missing if one.startswith("each server ")]
    assert missing.pop(what) == (1, why)
    others = {f"{other} is left out" for other in SERVERS if other != name}
    assert missing.keys() == others
    assert {reason for _, reason in missing.values()} == {why}
    assert passed(done.stdout) > 20


def test_none_leaves_every_server_out() -> None:
    done = run_pytest(NEEDS_EMBEDDED, REDIQ_TEST_SERVERS="none")
    assert done.returncode == 0, done.stdout
    assert not_run(done.stdout) == {"every server is left out": (1, "REDIQ_TEST_SERVERS=none")}


def test_the_processes_of_a_parallel_run_say_what_is_missing(bare: dict[str, str]) -> None:
    done = run_pytest("-n", "2", "-p", "bare", EVERY_STORE, **bare)
    assert done.returncode == 0, done.stdout
    assert not_run(done.stdout).keys() == {f"{name} is not on this machine" for name in SERVERS}


@pytest.mark.parametrize("asked", ["all", "redis-7"])
def test_a_server_that_is_asked_for_and_missing_is_a_failure(
    bare: dict[str, str], asked: str
) -> None:
    done = run_pytest("-p", "bare", EVERY_STORE, REDIQ_TEST_SERVERS=asked, **bare)
    assert done.returncode == 1
    said = (
        f"redis-7 is not on this machine ({LOOKED_IN}), and REDIQ_TEST_SERVERS={asked} asks for it"
    )
    assert said in done.stdout


def test_a_server_that_is_none_is_refused() -> None:
    done = run_pytest(EVERY_STORE, REDIQ_TEST_SERVERS="redis-6.2,redis-5")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "'redis-5' is none of all, none, redis-6.2, redis-7, valkey-8" in done.stderr


def test_what_is_found_is_in_the_order_of_age() -> None:
    assert [*find_servers()] == [name for name in SERVERS if name in find_servers()]


def test_what_is_missing_is_named_in_another_process_too() -> None:
    found = pickle.loads(pickle.dumps(ServerMissing("redis-6.2 is not here", LOOKED_IN)))
    assert isinstance(found, ServerMissing)
    assert (found.what, found.why) == ("redis-6.2 is not here", LOOKED_IN)
    assert str(found) == f"redis-6.2 is not here ({LOOKED_IN})"


def test_mutants_of_the_scripts_without_their_server_end_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants", "--sample", "1"], capture_output=True, text=True,
        env=os.environ | {"REDIQ_TEST_SERVERS": "none"}, check=False, timeout=120,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr == (
        "python -m tests.mutants: redis-6.2 is left out (REDIQ_TEST_SERVERS=none): "
        "the mutants of the scripts run on redis-6.2\n"
    )
