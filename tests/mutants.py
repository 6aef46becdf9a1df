"""Run the tests of the stores against every mutant of the Lua.

    python -m tests.mutants [word of a name ...] [--script NAME ...] [--sample N] [--seed S]

Prints which test kills which mutant; exits with 1 when one survives. A sample is another
one each time, and the same for the same seed, which is printed. A mutant
whose old text is not found exactly once is an error, not a survivor; so is a test
that kills one, and fails without a mutant too.

The tests are collected once. What forks from there has them at hand: `AT_ONCE`
workers, with a server each for one mutant after another; they fork a child for the
tests of each, which begins with those that killed others in the same script.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import random
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from math import log, log2
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from rediq_trio.store.redis import scripts
from rediq_trio.store.redis.scripts import lua_folder, script_paths
from tests.mutations import MUTANTS, Mutant
from tests.servers import ServerMissing, lent, require_server, running_server

AT_ONCE = 2
DEADLINE = 120.0
"""Seconds that a test may insert; a mutant that makes one hang is killed too."""
END_DEADLINE = 20.0
"""Seconds that tests which hang may insert to end when they are interrupted."""
ANSWER_DEADLINE = 5.0
"""Seconds within which a server answers unless a mutant keeps it busy."""
ROOT = Path(__file__).resolve().parents[1]
FORK = multiprocessing.get_context("fork")
SERVER = "redis-6.2"
SUITES = ("tests/conformance", "tests/redis")
THEME_OF = MappingProxyType(
    {
        "arrange": "limits", "include/wake_on_slot": "limits", "include/history": "history",
        "include/queue_entry": "history",
        "include/lanes": "limits", "limit": "limits",
        **dict.fromkeys(
            ("agenda", "declare", "include/created_id", "include/schedule", "retract", "retract_others",
             "suspend", "tick", "trigger"),
            "schedules",
        ),
        "batch": "groups", "set_group_rules": "groups", "groups": "groups",
        "include/entered": "still",
        **dict.fromkeys(
            ("due_workflows", "forget_workflow", "include/workflow", "keep_workflow", "list_workflows"),
            "workflows",
        ),
        "acknowledge": "mail", "order": "orders", "register": "orders", "log": "logbook",
        "cancel": "operating", "claim": "claim",
        "delete": "operating", "enqueue": "dependencies",
        "expire": "keeping", "flush": "operating", "include/due": "keeping",
        "include/terminal": "unique", "include/fence": "fences", "include/intake": "dependencies",
        "include/indexes": "keeping", "include/propagate": "dependencies", "inspect": "reading",
        "include/contents": "dependencies", "description": "describing", "include/description": "describing",
        "situation": "situation", "states": "situation",
        "unregister": "orders", "list": "reading", "scan": "scanning", "pause": "pauses", "promote": "keeping",
        "purge": "purge", "receive": "mail", "reclaim": "keeping",
        "remember": "steps", "renew": "give_back", "report": "signals", "revive": "operating",
        "failure_kinds": "failure_kinds", "include/attempts": "attempts",
        "sample": "series", "series": "series", "tally": "types", "types": "types", "statistics": "types",
        "note_size": "trim", "trim": "trim",
        "include/oldest_due": "reading",
        "workers": "orders", "settle": "settle", "stats": "reading",
        "unblock": "dependencies", "watch": "operating",
        **dict.fromkeys(
            ("inspect_dependencies", "inspect_groups", "inspect_keys", "inspect_lanes", "inspect_members",
             "inspect_messages", "inspect_schedules", "inspect_tasks", "inspect_unique"),
            "check",
        ),
        **dict.fromkeys(
            ("include/active_by_key", "include/index_position", "include/unresolved",
             "repair_dependency", "repair_group", "repair_lane", "repair_member", "repair_schedule",
             "repair_task", "repair_totals", "repair_unique"),
            "stale_repairs",
        ),
    }
)  # fmt: skip
"""The theme of the conformance suite that is likely to kill a mutant of a script: tried first."""
ALSO = MappingProxyType(
    {
        "arrange": "history", "batch": "damaged_groups", "claim": "limits", "set_group_rules": "damaged_groups",
        "include/intake": "unique", "include/indexes": "limits", "include/record": "damage",
        "include/propagate": "mail", "include/schedule": "damaged_schedules", "promote": "limits",
        "include/oldest_due": "limits", "stats": "older_pauses", "settle": "give_back",
        "order": "server", "register": "server", "unregister": "server",
        **dict.fromkeys(
            ("include/index_position", "include/unresolved", "repair_dependency", "repair_group",
             "repair_lane", "repair_member", "repair_schedule", "repair_task", "repair_unique"),
            "check",
        ),
        "include/active_by_key": "check_whole", "inspect_keys": "check_whole", "repair_totals": "check_whole",
    }
)  # fmt: skip
"""Another one."""
HARDER = ("tests/property/test_histories.py",)
"""What a mutant that survives the suites has to face next."""
HANGS = "the tests hang"
QUIETLY = (
    "-q", "-s", "-m", "", "--assert=plain", "--timeout=0", "-p", "no:cacheprovider", "-p", "no:pytest_cov",
    "-p", "no:xdist",
)  # fmt: skip


class Misplaced(Exception):
    """A mutant that does not fit the script any more."""


def path_of(script: str, lua: Path) -> Path:
    """Return the file of a script, or of a snippet, which is named with its folder."""
    return lua / f"{script}.lua" if script.startswith("include/") else script_paths(lua)[script]


def mutated(mutant: Mutant, lua: Path) -> str:
    """Give the text of the mutant's script; raise `Misplaced` unless the old text is there once."""
    text = path_of(mutant.script, lua).read_text("utf-8")
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
        path_of(mutant.script, lua).write_text(mutated(mutant, lua), "utf-8")
        yield lua


_items: list[pytest.Item] = []
"""All tests, as they were collected."""
_variant: dict[str, int] = {}
"""Of each test, ended_as many variants of it come before."""
_frequency: Counter[str] = Counter()
"""Of each word, ended_as many tests have it in their names."""
_kills: defaultdict[str, Counter[str]] = defaultdict(Counter)
"""How many mutants of a script each test killed, in this process."""


@cache
def _words(name: str) -> frozenset[str]:
    """Give the words of a name, without the s at their ends."""
    return frozenset(word.rstrip("s") for word in re.findall("[a-z]+", name.lower()))


def know(items: Sequence[pytest.Item]) -> None:
    """Keep the tests that were collected, and what is to be known of their names."""
    _items[:] = items
    seen: Counter[str] = Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        _variant[item.nodeid] = seen[test]
        seen[test] += 1
        _frequency.update(_words(test))


def killer(mutant: Mutant) -> str | None:
    """Give the test that fails with the mutant; None when all pass."""
    with mutated_folder(mutant) as lua:
        for items in likeliest_first(mutant):
            if found := failing(lua, items):
                _kills[mutant.script][found] += 1
                return found
    return None


def likeliest_first(mutant: Mutant) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Give the tests of the suites, the likeliest killers first, and those of `HARDER`.

    Likely is what killed mutants of the same script, what belongs to its theme, and what is
    named alike; one variant of a test before its others.
    """
    themes = tuple(
        f"test_{theme}.py" for theme in (THEME_OF.get(mutant.script), ALSO.get(mutant.script))
    )
    named = _words(mutant.name)
    score: dict[str, float] = {}
    for item in _items:
        test = item.nodeid.partition("[")[0]
        kin = sum(log(len(_items) / _frequency[word]) for word in named & _words(test))
        kills = 2 * log2(1 + _kills[mutant.script][item.nodeid])
        again = min(_variant[item.nodeid], 4)
        score[item.nodeid] = kin + kills - again + 4 * any(theme in test for theme in themes)
    hard = [item for item in _items if item.nodeid.startswith(HARDER)]
    rest = [item for item in _items if not item.nodeid.startswith(HARDER)]
    return sorted(rest, key=lambda item: -score[item.nodeid]), hard


def failing(lua: Path, items: Sequence[pytest.Item]) -> str | None:
    """Run tests in a child; give the first that fails, None when all pass."""
    lend_server()
    said, says = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_run_tests, args=(lua, items, says))
    child.start()
    says.close()
    assert child.pid is not None
    try:
        for _ in items:
            if not said.poll(DEADLINE):
                os.kill(child.pid, signal.SIGINT)
                child.join(END_DEADLINE)
                return HANGS
            failed: str = said.recv()
            if failed:
                return failed
    except EOFError:
        raise RuntimeError(f"the tests with {lua} ended without a result") from None
    else:
        return None
    finally:
        child.kill()
        child.join()


@attrs.frozen
class FirstFailure:
    """A plugin of pytest that names the first test that fails, and ends the process."""

    says: Connection

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
            self.says.send(item.nodeid)
            # At once: a report with its tracebacks takes longer than the test.
            os._exit(1)


def _run_tests(lua: Path, items: Sequence[pytest.Item], says: Connection) -> None:
    # What was started in the background of a shell ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["REDIQ_TEST_LUA"] = str(lua)
    config = items[0].config
    config.pluginmanager.register(FirstFailure(says))
    for item, following in zip(items, [*items[1:], None], strict=True):
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        says.send("")


_server = ExitStack()


def lend_server() -> None:
    """Have a server for the tests that this process forks: a new one when it is kept busy."""
    if not lent:
        Finalize(None, _server.close, exitpriority=1)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
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


@attrs.define
class Mutants:
    """A plugin of pytest: what is done with the tests that were collected."""

    chosen: list[Mutant]
    found: list[str | None] = attrs.field(factory=list)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Try all, from where each test is collected and none has begun."""
        know(session.items)
        # A mutant changes a few of the scripts: the others are put together here, once.
        scripts.inlined = cache(scripts.inlined)
        scripts.load_scripts()
        gc.collect()
        gc.freeze()
        with ProcessPoolExecutor(AT_ONCE, mp_context=FORK) as pool:
            for mutant, by in zip(self.chosen, pool.map(killer, self.chosen), strict=True):
                self.found.append(by)
                print(f"{mutant.name} | {mutant.script}.lua | {by or 'SURVIVES'}", flush=True)
            if wrong := pool.submit(wrong_killer, frozenset(self.found)).result():
                raise RuntimeError(f"{wrong} fails without a mutant")
        return True


def wrong_killer(killers: frozenset[str | None]) -> str | None:
    """Give a test of these that fails without a mutant."""
    items = [item for item in _items if item.nodeid in killers]
    return failing(lua_folder(), items) if items else None


def main(arguments: list[str]) -> int:
    """Run the mutants whose name holds any of the words (all, without words), or some of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("words", nargs="*", metavar="word", help="part of a name")
    parser.add_argument(
        "--script", action="append", metavar="NAME", help="those of this script only"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many of them")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="which ones")
    given = parser.parse_args(arguments)
    words, chosen_scripts = given.words, given.script
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    chosen = [m for m in chosen if not chosen_scripts or m.script in chosen_scripts]
    for mutant in chosen:
        mutated(mutant, lua_folder())
    if given.sample is not None and given.sample < len(chosen):
        print(
            f"{given.sample} of {len(chosen)} mutants: --sample {given.sample} --seed {given.seed}"
        )
        chosen = random.Random(given.seed).sample(chosen, given.sample)
    try:
        require_server(SERVER)
    except ServerMissing as missing:
        parser.exit(2, f"{parser.prog}: {missing}: the mutants of the scripts run on {SERVER}\n")
    begin = time.monotonic()
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "dev"
    run = Mutants(chosen)
    code = pytest.main([*QUIETLY, "-k", SERVER, *SUITES, *HARDER], [run])
    if code != 0:
        raise RuntimeError(f"pytest ended with {code}")
    took, survivors = time.monotonic() - begin, run.found.count(None)
    print(f"{len(chosen)} mutants, {survivors} survive, {took:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
