"""A new outcome costs at most 15 files.

`a_new_outcome.patch` adds the outcome `defer`: a handler raises `Defer`, and the task goes behind
the others of its priority. It is applied to a copy of the working tree, where the tests that know
outcomes, the mutants of the new guards and the check of the generated pages have to pass.

When it does not apply any more, write it anew in a worktree, from the root of the repository:

    git worktree add --detach ../defer && cd ../defer
    git apply --reject -C1 tests/derived/a_new_outcome.patch  # then add by hand what *.rej hold
    python -m docs.generate && PYTHONPATH=src:. python -m pytest tests/conformance/test_defer.py
    python -m tests.derived && cp tests/derived/a_new_outcome.patch "$OLDPWD/tests/derived/"
    cd "$OLDPWD" && git worktree remove --force ../defer
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mutants
from tests.commands import OF_THIS_RUN
from tests.derived.__main__ import PATCH, ROOT, changes
from tests.servers import find_servers, require_server

pytestmark = pytest.mark.uncounted

MOST = 15
"""Files that a new outcome may touch: source, tests, documentation and what is generated."""
WITHIN = 280.0
"""Seconds for one command in the copy, on a busy machine."""
RECIPE = "docs/internals/adding-an-operation.md"
SPECIFIED = (
    "tests/spec/test_operations.py",
    "tests/spec/test_replay.py",
    "tests/lua/test_headers.py",
    "tests/property/test_replay.py",
)
CONFORMANCE = tuple(
    f"tests/conformance/test_{theme}.py" for theme in ("defer", "settle", "give_back", "history")
)
GUARDS = "deferral"
"""The word that the names of the new mutants share."""


def touched() -> list[str]:
    return re.findall(r"^diff --git a/(\S+) b/", PATCH.read_text("utf-8"), re.MULTILINE)


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, as from a shell."""
    # Coverage measures this tree, not the copy, which is gone when it reports.
    other = (*OF_THIS_RUN, "COV")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(other)}
    path = os.pathsep.join((str(copy / "src"), str(copy)))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=copy,
        # The tests of this tree try more: those of the copy have to know one outcome more.
        env=clean | {"PYTHONPATH": path, "HYPOTHESIS_PROFILE": "dev"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )


def check_passes(copy: Path, *arguments: str) -> str:
    done = run(copy, *arguments)
    assert done.returncode == 0, f"python {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the working tree with the patch in it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout: the patch is applied to a copy of what it tracks")
    copied = tmp_path / "copy"
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copied / name)
    subprocess.run([git, "init", "-q"], cwd=copied, check=True)
    done = subprocess.run(
        [git, "apply", "-C1", "--whitespace=nowarn", str(PATCH)],
        cwd=copied,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (
        f"{PATCH.name} does not apply any more; to write it anew, see the docstring of "
        f"{Path(__file__).name}\n{done.stderr}"
    )
    return copied


def test_a_new_outcome_touches_few_files() -> None:
    files = touched()
    assert 0 < len(files) <= MOST, "\n".join([f"{len(files)} files, {MOST} at most:", *files])
    assert len(files) == len({*files})


def test_the_recipe_names_each_source_file_of_the_patch() -> None:
    page = ROOT / RECIPE
    if not page.is_file():
        pytest.skip(f"{RECIPE} is not there")
    source = [name for name in touched() if name.startswith(("src/", "lua/"))]
    text = page.read_text("utf-8")
    missing = [n for n in source if f"`{n.removeprefix('src/rediq_trio/')}`" not in text]
    assert missing == [], f"{RECIPE} does not name them"


def test_the_copy_runs_its_own_code_and_its_generated_pages_are_up_to_date(copy: Path) -> None:
    where = check_passes(copy, "-c", "import rediq_trio; print(rediq_trio.__file__)")
    assert Path(where.strip()).is_relative_to(copy)
    check_passes(copy, "-m", "docs.generate", "--check")


@pytest.mark.slow
def test_the_tables_the_scripts_and_the_replay_know_the_new_outcome(copy: Path) -> None:
    check_passes(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist",
                 *SPECIFIED)  # fmt: skip


@pytest.mark.slow
def test_the_stores_do_the_new_outcome_alike(copy: Path) -> None:
    stores = " or ".join(["memory", *[*find_servers()][:1]])
    check_passes(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist",
                 "-k", stores, *CONFORMANCE)  # fmt: skip


@pytest.mark.slow
def test_the_mutants_of_the_new_guards_are_killed(copy: Path) -> None:
    require_server(mutants.SERVER)
    said = check_passes(copy, "-m", "tests.mutants", GUARDS, "--script", "settle")
    added = re.findall(rf'^\+ +\("[^"]*{GUARDS}', PATCH.read_text("utf-8"), re.MULTILINE)
    assert len(added) >= 3
    assert f"{len(added)} mutants, 0 survive" in said


def test_the_patch_is_written_from_what_differs_from_the_last_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        me = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", *me, *arguments], cwd=tmp_path, check=True, capture_output=True)

    if shutil.which("git") is None:
        pytest.skip("needs git")
    git("init", "-q")
    (tmp_path / "old").write_text("one\n", "utf-8")
    (tmp_path / "tests" / "derived").mkdir(parents=True)
    git("add", "--all")
    git("commit", "-q", "-m", "begin")
    assert changes(tmp_path) == ""
    (tmp_path / "old").write_text("two\n", "utf-8")
    (tmp_path / "new").write_text("three\n", "utf-8")
    (tmp_path / "tests" / "derived" / "kept.patch").write_text("old\n", "utf-8")
    assert changes(tmp_path) == (
        "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n"
        "@@ -0,0 +1 @@\n+three\n"
        "diff --git a/old b/old\n--- a/old\n+++ b/old\n@@ -1 +1 @@\n-one\n+two\n"
    )
