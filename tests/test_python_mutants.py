"""The mutants of the Python fit their modules. `python -m tests.python_mutants` runs them."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.python_mutants import ROOT, mutated, unfit
from tests.python_mutations import MUTANTS, PythonMutant

THREE = """
import sys
from tests import python_mutants
from tests.python_mutations import PythonMutant

TESTS = ("tests/actors/test_progress.py",)
python_mutants.DEADLINE = 5.0

def mutant(name, old, new):
    return PythonMutant(name, "worker/progress.py", "nothing", old, new, TESTS)

python_mutants.MUTANTS = (
    mutant("killed", "await trio.sleep(self.interval)", "await trio.sleep(0)"),
    mutant("equivalent", "        while True:\\n", "        while 1:\\n"),
    mutant("endless", "await trio.sleep(self.interval)", "while True: pass"),
)
sys.exit(python_mutants.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_its_module_in_one_place_and_is_python(mutant: PythonMutant) -> None:
    compile(mutated(mutant), mutant.path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_of_a_mutant_are_there(mutant: PythonMutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        path, *names = test.split("::")
        text = (ROOT / path).read_text("utf-8")
        for name in names:
            assert f"def {name.partition('[')[0]}(" in text


def test_every_mutant_has_a_name_of_its_own() -> None:
    names = Counter(mutant.name for mutant in MUTANTS)
    assert names.most_common(1)[0][1] == 1
    assert [name for name in names if not re.fullmatch("[a-z0-9-]+", name)] == []


def test_no_two_mutants_are_the_same() -> None:
    texts = Counter((mutant.path, mutated(mutant)) for mutant in MUTANTS)
    assert [path for (path, _), times in texts.items() if times > 1] == []


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", THREE, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_survivors_are_named_and_a_test_that_hangs_is_visible() -> None:
    ended = _run()
    assert ended.returncode == 1, ended.stderr
    killed, equivalent, endless, *_, last = ended.stdout.splitlines()
    assert "| tests/actors/test_progress.py::test_" in killed
    assert "| SURVIVES |" in equivalent
    assert "HANGS: SURVIVES" in endless
    assert last == "survivors: equivalent, endless"


def test_without_a_survivor_the_status_is_0() -> None:
    ended = _run("--only", "kill*")
    assert (ended.returncode, ended.stdout.splitlines()[-1][:21]) == (0, "1 mutants, 0 survive,")


def test_a_name_that_no_mutant_has_is_refused() -> None:
    ended = _run("--only", "killed", "--only", "other")
    assert (ended.returncode, ended.stderr) == (1, "no mutant is named 'other'\n")


def test_the_list_runs_nothing() -> None:
    ended = _run("--list", "--only", "endless")
    assert ended.returncode == 0
    line = "endless | worker/progress.py | nothing | tests/actors/test_progress.py\n"
    assert ended.stdout == line


def test_the_check_names_every_mutant_that_fits_no_more() -> None:
    fits, gone, twice, broken = (
        PythonMutant(name, "worker/progress.py", "nothing", old, new, ())
        for name, old, new in (
            ("fits", "await trio.sleep(self.interval)", "await trio.sleep(0)"),
            ("gone", "no such text", ""),
            ("twice", "self", ""),
            ("broken", "await trio.sleep(self.interval)", "await trio.sleep("),
        )
    )
    named = [line.partition(":")[0] for line in unfit([fits, gone, twice, broken])]
    assert named == ["gone", "twice", "broken"]
