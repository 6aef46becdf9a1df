"""Run the tests of the stores against every mutant of the Lua.

    python -m tests.mutants [word of a name ...]

Prints which test kills which mutant; exits with 1 when one survives. A mutant
whose old text is not found exactly once is an error, not a survivor; so is a test
that kills one, and fails without a mutant too.

This process collects the tests once. What forks from it finds everything imported:
`AT_ONCE` workers, which have a server each for one mutant after another, and fork
a child for the tests of each.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from types import MappingProxyType

import pytest

from rediq_trio.store import scripts
from rediq_trio.store.scripts import lua_folder
from tests.mutations import MUTANTS, Mutant
from tests.servers import lent, running_server

AT_ONCE = 2
DEADLINE = 120.0
"""Seconds that the tests of one mutant may take; a mutant that makes them hang is killed too."""
END_DEADLINE = 20.0
"""Seconds that tests which hang may take to end when they are interrupted."""
ANSWER_DEADLINE = 5.0
"""Seconds within which a server answers unless a mutant keeps it busy."""
ROOT = Path(__file__).resolve().parents[1]
FORK = multiprocessing.get_context("fork")
SERVER = "redis-6.2"
SUITES = ("tests/conformance", "tests/redis")
THEME_OF = MappingProxyType(
    {
        "arrange": "limits", "include/freed": "limits", "include/lanes": "limits", "limit": "limits",
        **dict.fromkeys(
            ("agenda", "declare", "include/made", "include/schedule", "retract", "retract_others",
             "suspend", "tick", "trigger"),
            "schedules",
        ),
        "batch": "groups", "govern": "groups", "groups": "groups",
        "acknowledge": "mail", "beat": "reading", "cancel": "operating", "claim": "claim",
        "complete": "settle", "delete": "operating", "enqueue": "dependencies",
        "expire": "keeping", "fail": "settle", "flush": "operating", "include/due": "keeping",
        "include/ends": "unique", "include/fence": "fences", "include/intake": "dependencies",
        "include/places": "keeping", "include/ripple": "dependencies", "inspect": "dependencies",
        "leave": "reading", "list": "reading", "pause": "claim", "promote": "keeping",
        "purge": "purge", "receive": "mail", "reclaim": "keeping", "release": "give_back",
        "remember": "steps", "renew": "give_back", "report": "signals", "revive": "operating",
        "roster": "reading", "snooze": "give_back", "stats": "reading", "stop": "give_back",
        "unblock": "dependencies", "watch": "operating",
    }
)  # fmt: skip
"""The theme of the conformance suite that is likely to kill a mutant of a script: tried first."""
HARDER = ("tests/property/test_histories.py",)
"""What a mutant that survives the suites has to face next."""
HANGS = "the tests hang"
QUIETLY = ("-p", "no:cacheprovider", "-p", "no:pytest_cov", "--tb=no")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


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
        theme = THEME_OF.get(mutant.script)
        likely = [(f"tests/conformance/test_{theme}.py",)] if theme else []
        for suites in (*likely, SUITES, HARDER):
            if found := _failing(lua, suites):
                _kills[found] += 1
                return found
    return None


_kills: Counter[str] = Counter()
"""How many mutants each test killed, in this process."""


class DeadliestFirst:
    """A plugin of pytest: the tests that killed most go first."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: -_kills[item.nodeid])


def _failing(lua: Path, suites: Sequence[str]) -> str | None:
    """Run tests in a child; give the first that fails, None when all pass."""
    lend_server()
    with tempfile.NamedTemporaryFile("r", prefix="rediq-said-", errors="replace") as said:
        child = FORK.Process(target=_run_tests, args=(lua, suites, said.name))
        child.start()
        child.join(DEADLINE)
        if hangs := child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGINT)
            child.join(END_DEADLINE)
            child.kill()
            child.join()
        code, text = child.exitcode, said.read()
    if hangs:
        return HANGS
    if code == 0:
        return None
    failed = _FAILED.search(text)
    if code != 1 or failed is None:
        raise RuntimeError(f"pytest ended with {code}:\n{text[-2000:]}")
    return failed[1]


def _run_tests(lua: Path, suites: Sequence[str], said: str) -> None:
    # What was started in the background of a shell ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["REDIQ_TEST_LUA"] = str(lua)
    file = os.open(said, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(pytest.main(["-x", "-q", *QUIETLY, "-k", SERVER, *suites], [DeadliestFirst()]))


_server = ExitStack()


def lend_server() -> None:
    """Have a server for the tests that this process forks: a new one when it is kept busy."""
    if not lent:
        Finalize(None, _server.close, exitpriority=1)
    elif not answers(lent[SERVER].socket):
        # What a script that does not end keeps busy hears no more polite request.
        os.kill(lent[SERVER].pid, signal.SIGKILL)
        _server.close()
    else:
        return
    lent[SERVER] = _server.enter_context(running_server(SERVER))


def answers(path: str) -> bool:
    """Say whether a server answers, and is not busy."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_DEADLINE)
        try:
            probe.connect(path)
            probe.sendall(b"PING\r\n")
            return probe.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def warm_up() -> None:
    """Import all that the tests need, so that what is forked has it."""
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "dev"
    with redirect_stdout(io.StringIO()) as said:
        code = pytest.main(["--collect-only", "-q", *QUIETLY, "-k", SERVER, *SUITES, *HARDER])
    if code != 0:
        raise RuntimeError(f"pytest ended with {code}:\n{said.getvalue()[-2000:]}")
    # A mutant changes a few of the scripts: the others are put together here, once.
    scripts.inlined = cache(scripts.inlined)
    scripts.load_scripts()
    gc.collect()
    gc.freeze()


def main(words: list[str]) -> int:
    """Run the mutants whose name holds any of the words (all, without words)."""
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    for mutant in chosen:
        mutated(mutant, lua_folder())
    begin, found = time.monotonic(), []
    warm_up()
    with ProcessPoolExecutor(AT_ONCE, mp_context=FORK) as pool:
        for mutant, by in zip(chosen, pool.map(killer, chosen), strict=True):
            found.append(by)
            print(f"{mutant.name} | {mutant.script}.lua | {by or 'SURVIVES'}", flush=True)
        killers = sorted({by for by in found if by and by != HANGS})
        if killers and (failed := pool.submit(_failing, lua_folder(), killers).result()):
            raise RuntimeError(f"{failed} fails without a mutant")
    took, survivors = time.monotonic() - begin, found.count(None)
    print(f"{len(chosen)} mutants, {survivors} survive, {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
