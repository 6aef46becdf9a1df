"""The bank of the page about testing tasks: its bug is found, and its repair holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.uncounted

BANK = Path(__file__).resolve().parents[2] / "docs" / "examples" / "bank"
PAGE = BANK.parents[1] / "test-your-tasks.md"
DEADLINE = 300.0
TESTS = ("test_transfers", "test_repaired", "test_bank_machine", "test_storm")
FAULTY_MACHINE = """\
import sys
import transfers
sys.modules["repaired"] = transfers
import test_bank_machine
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
run_state_machine_as_test(test_bank_machine.BankMachine, settings=settings(
    test_bank_machine.TestBank.settings, max_examples=1000, derandomize=True, database=None,
    phases=[Phase.generate],
))
"""
"""The machine with the handlers that have the bug; it is found, and not made smaller."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BANK,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_the_report_is_that_of_the_page() -> None:
    done = run("crash_transfers.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (BANK / "crash_transfers.out").read_text("utf-8")


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_the_page_pass(name: str) -> None:
    plugin = ["-p", "rediq_trio.testing.plugin"] if name == "test_transfers" else []
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, f"{name}.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_a_storm_of_two_parts_is_left_of_the_one_that_was_found(tmp_path: Path) -> None:
    picture = tmp_path / "storm.svg"
    done = run("find_double_transfers.py", str(picture))
    assert (done.returncode, done.stderr) == (0, "")
    # Which seed it is, and which ids, changes with the worker; what is left does not.
    kept = (BANK / "find_double_transfers.out").read_text("utf-8")
    for text in (done.stdout, kept):
        assert text.startswith("no_transfer_is_made_twice: ")
        assert re.search(r"^seed \d+, \d+ parts, shrunk in \d+ runs to 2$", text, re.MULTILINE)
        assert "  bank:transfer(amount=10) of client c0 at 0 s\n" in text
        assert "attempt 1, delivery 2" in text
    drawn = ElementTree.fromstring(picture.read_text("utf-8"))
    said = " ".join(drawn.itertext())
    for part in ("no_transfer_is_made_twice", "delivery 1: no outcome written", "delivery 2: completed"):
        assert part in said


def test_the_command_of_the_page_finds_the_same(tmp_path: Path) -> None:
    (command,) = re.findall(r"^\$ rediq (sim .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    path = os.pathsep.join([str(BANK), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "rediq_trio", *command.split(), "--seed", "60"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=DEADLINE,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "drawn in storm.svg\n")
    lines = (BANK / "find_double_transfers.out").read_text("utf-8").splitlines()
    found = done.stdout.splitlines()
    assert [line[line.find("no_transfer"):] for line in found[:1]] == lines[:1]
    assert found[1 : len(lines)] == lines[1:]


@pytest.mark.slow
def test_the_machine_finds_the_bug() -> None:
    done = run("-c", FAULTY_MACHINE)
    assert done.returncode == 1
    assert "AssertionError: a transfer was carried out twice" in done.stderr, done.stderr


def test_every_program_of_the_bank_is_run_by_a_test() -> None:
    run_here = {*TESTS, "bank", "transfers", "repaired", "crash_transfers", "storm"}
    run_here |= {"find_double_transfers", "storm_transfers"}
    assert {path.stem for path in BANK.glob("*.py")} == run_here
