"""Run the tests of the stores against every mutant of the Lua.

    python -m tests.mutants [word of a name ...]

Prints which test kills which mutant; exits with 1 when one survives. A mutant
whose old text is not found exactly once is an error, not a survivor.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from rediq_trio.store.scripts import lua_folder
from tests.mutations import MUTANTS, Mutant

AT_ONCE = 2
DEADLINE = 120.0
"""Seconds that the tests of one mutant may take; a mutant that makes them hang is killed too."""
ROOT = Path(__file__).resolve().parents[1]
SUITES = ("tests/conformance", "tests/redis")
THEME_OF = MappingProxyType(
    {
        "acknowledge": "mail", "arrange": "dependencies", "beat": "reading",
        "cancel": "operating dependencies", "claim": "claim unique",
        "complete": "settle children steps unique dependencies",
        "delete": "operating dependencies", "enqueue": "enqueue unique dependencies",
        "expire": "keeping dependencies", "fail": "settle dependencies",
        "flush": "operating unique mail", "include/due": "keeping",
        "include/ends": "operating unique steps settle signals dependencies",
        "include/fence": "fences", "include/intake": "enqueue unique children mail dependencies",
        "include/places": "operating enqueue keeping signals unique dependencies",
        "include/record": "claim enqueue mail dependencies",
        "include/ripple": "mail children dependencies", "inspect": "operating unique mail",
        "leave": "reading", "list": "reading", "pause": "claim signals",
        "promote": "keeping", "purge": "purge unique steps dependencies", "receive": "mail",
        "reclaim": "keeping unique dependencies", "release": "give_back", "remember": "steps",
        "renew": "give_back", "report": "fences signals",
        "revive": "operating unique mail dependencies", "roster": "reading",
        "snooze": "give_back", "stats": "reading", "stop": "give_back unique",
        "unblock": "dependencies", "watch": "operating",
    }
)  # fmt: skip
"""The themes of the conformance suite that are likely to kill a mutant of a script: tried first,
in this order."""
HARDER = ("tests/property/test_histories.py",)
"""What a mutant that survives the suites has to face next."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Misplaced(Exception):
    """A mutant that does not fit the script any more."""


def mutated(mutant: Mutant, lua: Path) -> str:
    """Give the text of the mutant's script; raise `Misplaced` unless the old text is there once."""
    text = (lua / f"{mutant.script}.lua").read_text("utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise Misplaced(f"{mutant.name}: {mutant.old!r} is {found} times in {mutant.script}.lua")
    return text.replace(mutant.old, mutant.new)


@contextmanager
def mutated_folder(mutant: Mutant) -> Iterator[Path]:
    """Give a copy of the scripts with the mutant in it."""
    with tempfile.TemporaryDirectory(prefix="rediq-mutant-") as folder:
        lua = Path(folder) / "lua"
        shutil.copytree(lua_folder(), lua)
        (lua / f"{mutant.script}.lua").write_text(mutated(mutant, lua), "utf-8")
        yield lua


def killer(mutant: Mutant) -> str | None:
    """Give the test that fails with the mutant; None when all pass."""
    with mutated_folder(mutant) as lua:
        themes = THEME_OF.get(mutant.script, "").split()
        likely = tuple(f"tests/conformance/test_{theme}.py" for theme in themes)
        for suites in filter(None, (likely, SUITES, HARDER)):
            if found := _failing(lua, suites):
                return found
    return None


def _failing(lua: Path, suites: tuple[str, ...]) -> str | None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    environment = os.environ | {"REDIQ_TEST_LUA": str(lua), "HYPOTHESIS_PROFILE": "dev"}
    child = subprocess.Popen(
        [*command, "-k", "redis-6.2", *suites],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = child.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        # An interrupt lets pytest end the server that it started.
        child.send_signal(2)
        child.communicate()
        return "the tests hang"
    if child.returncode == 0:
        return None
    failed = _FAILED.search(said)
    if child.returncode != 1 or failed is None:
        raise RuntimeError(f"pytest ended with {child.returncode}:\n{said[-2000:]}")
    return failed[1]


def main(words: list[str]) -> int:
    """Run the mutants whose name holds any of the words (all, without words)."""
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    for mutant in chosen:
        mutated(mutant, lua_folder())
    begin, survivors = time.monotonic(), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for mutant, by in zip(chosen, pool.map(killer, chosen), strict=True):
            survivors += by is None
            print(f"{mutant.name} | {mutant.script}.lua | {by or 'SURVIVES'}", flush=True)
    took = time.monotonic() - begin
    print(f"{len(chosen)} mutants, {survivors} survive, {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
