"""Run the tests against every mutant of the Python.

    python -m tests.python_mutants [--only NAME ...] [--sample N] [--seed S] [--list] [--check]

Prints which test kills which mutant; exits with 1 when one survives. A sample is another
one each time, and the same for the same seed, which is printed. A mutant whose old text
is not found exactly once is an error, which `--check` looks for; so is one whose tests cannot be
collected or are all skipped, and a test that kills one and fails without a mutant too.
A test that hangs is ended after `DEADLINE` seconds. That kills a mutant only if its row
says that its tests hang; the verdict names it in either case.

Each mutant is tried in a fork of a process that has imported pytest and what the library
depends on, but nothing of the library. The fork imports a copy of the library with the
mutant in it, and so do the processes that its tests start.
"""

from __future__ import annotations

import argparse
import compileall
import fnmatch
import gc
import multiprocessing
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import attrs
import psutil
import pytest

from tests.python_mutations import MUTANTS, PythonMutant

AT_ONCE = 2
DEADLINE = 40.0
"""Seconds that a test may take; less than an async test takes to give up by itself."""
END_DEADLINE = 20.0
"""Seconds that pytest may take to end after its last test."""
ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src" / "rediq_trio"
FORK = multiprocessing.get_context("fork")
IMPORTED_ONCE = (
    "_hypothesis_pytestplugin", "cattrs", "cronsim", "cryptography.hazmat.primitives.ciphers.aead",
    "httpx", "hypercorn.trio", "hypothesis.stateful", "msgpack", "prometheus_client", "pytest_timeout",
    "redis.asyncio", "redis.asyncio.sentinel", "starlette.applications", "trio.testing", "trio_asyncio",
)  # fmt: skip
"""What each fork would otherwise import by itself."""
QUIETLY = (
    "-q", "-s", "-x", "-m", "", "--tb=no", "--timeout=0", "--assert=plain", "-p", "no:cacheprovider",
    "-p", "no:pytest_cov", "-p", "no:xdist", "-p", "no:anyio",
)  # fmt: skip


class Misplaced(Exception):
    """A mutant that does not fit the library any more."""


def mutated(mutant: PythonMutant, library: Path = LIBRARY) -> str:
    """Return the text of the mutant's module; raise `Misplaced` unless the old text is there once."""
    text = (library / mutant.path).read_text("utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise Misplaced(f"{mutant.name}: {mutant.old!r} is {found} times in {mutant.path}")
    return text.replace(mutant.old, mutant.new)


def unfit(mutants: Sequence[PythonMutant]) -> Iterator[str]:
    """Return why each of them that does not fit the library does not."""
    for mutant in mutants:
        try:
            compile(mutated(mutant), mutant.path, "exec")
        except Misplaced as why:
            yield str(why)
        except SyntaxError as why:
            yield f"{mutant.name}: {why}"


@contextmanager
def compiled_copy() -> Iterator[Path]:
    """Give a folder with a copy of the library, compiled, for the copies of the mutants."""
    with tempfile.TemporaryDirectory(prefix="rediq-mutants-") as folder:
        copy = Path(folder) / "src" / "rediq_trio"
        shutil.copytree(LIBRARY, copy)
        compileall.compile_dir(copy, quiet=2)
        # Where a checkout has them: two folders up.
        for name in ("lua", "tests"):
            (Path(folder) / name).symlink_to(ROOT / name)
        yield Path(folder)


@contextmanager
def mutated_copy(base: Path, mutant: PythonMutant | None) -> Iterator[Path]:
    """Give the folder to import the library from, with the mutant in it."""
    with tempfile.TemporaryDirectory(prefix="rediq-mutant-") as folder:
        copy = shutil.copytree(base, Path(folder) / "copy", copy_function=os.link, symlinks=True)
        if mutant is not None:
            changed = copy / "src" / "rediq_trio" / mutant.path
            text = mutated(mutant, copy / "src" / "rediq_trio")
            changed.unlink()  # a link to the file of the base
            changed.write_text(text, "utf-8")
            for compiled in (changed.parent / "__pycache__").glob(f"{changed.stem}.*"):
                compiled.unlink()
        yield copy / "src"


@attrs.frozen
class Verdict:
    """What became of a mutant."""

    mutant: PythonMutant
    by: str | None
    """The test that fails or hangs; None when all pass."""
    hangs: bool
    seconds: float

    @property
    def survives(self) -> bool:
        return self.by is None or self.hangs != self.mutant.hangs

    def __str__(self) -> str:
        if self.by is None:
            said = "SURVIVES"
        elif self.hangs:
            said = f"{self.by} HANGS" + (
                "" if self.mutant.hangs else ": SURVIVES, not told to hang"
            )
        else:
            said = self.by + (": SURVIVES, told to hang" if self.mutant.hangs else "")
        return f"{self.mutant.name} | {self.mutant.path} | {said} | {self.seconds:.1f} s"


def judge(base: Path, mutant: PythonMutant) -> Verdict:
    """Run the tests of a mutant up to the first that fails."""
    begin = time.monotonic()
    with mutated_copy(base, mutant) as source:
        by, hangs = first_failure(source, mutant.tests)
    return Verdict(mutant, by, hangs, time.monotonic() - begin)


def first_failure(source: Path, tests: Sequence[str]) -> tuple[str | None, bool]:
    """Run tests in a child; return the first that fails or hangs, and whether it hangs."""
    said, says = FORK.Pipe(duplex=False)
    with tempfile.TemporaryFile() as output, said:
        child = FORK.Process(target=_run_tests, args=(source, tests, says, output.fileno()))
        child.start()
        says.close()
        failed, begun, ran, hangs = None, None, 0, False
        try:
            while failed is None:
                if not said.poll(DEADLINE):
                    hangs = True
                    break
                what, name = said.recv()
                begun = name if what == "begins" else begun
                ran += what == "passes"
                failed = name if what == "fails" else None
        except EOFError:
            pass
        child.join(0 if hangs else END_DEADLINE)
        _kill(child.pid)
        child.join()
        output.seek(0)
        if hangs and begun is not None:
            return begun, True
        if failed is None and (child.exitcode != 0 or ran == 0):
            ending = output.read()[-3000:].decode(errors="replace")
            raise RuntimeError(
                f"{' '.join(tests)}: ended with {child.exitcode}, {ran} passed\n{ending}"
            )
        return failed, False


def _kill(pid: int | None) -> None:
    """Kill a child and what it started, if it has not ended by itself."""
    assert pid is not None
    try:
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            pass


@attrs.frozen
class Announcer:
    """A plugin of pytest that says which test begins, and which passes or fails."""

    says: Connection

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.says.send(("begins", nodeid))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> pytest.TestReport | None:
        if call.excinfo is None:
            if call.when == "call":
                self.says.send(("passes", item.nodeid))
            return None
        if call.excinfo.errisinstance(pytest.skip.Exception):
            return None
        self.says.send(("fails", item.nodeid))
        # Without the traceback, which takes longer than the test.
        text = f"{call.excinfo.typename}: {call.excinfo.value}"
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, call.when)


def _run_tests(source: Path, tests: Sequence[str], says: Connection, output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.path.insert(0, str(source))
    # For the processes that the tests start.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(source), str(ROOT)])
    os.environ["HYPOTHESIS_PROFILE"] = "dev"
    if spec := import_module("importlib.util").find_spec("rediq_trio"):
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(source), spec.origin
    code = pytest.main([*QUIETLY, *tests], [Announcer(says)])
    sys.stdout.flush()
    sys.exit(int(code))


def main(arguments: list[str]) -> int:
    """Run the mutants that are chosen, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.python_mutants")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a name, or a pattern with * in it"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="so many of them")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="which ones")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    parser.add_argument(
        "--check", action="store_true", help="print those that fit no more, and run nothing"
    )
    given = parser.parse_args(arguments)
    chosen = choose(given.only)
    if misplaced := list(unfit(chosen)):
        print(*misplaced, sep="\n")
        return 1
    if given.check:
        print(f"{len(chosen)} mutants fit")
        return 0
    if given.list:
        for mutant in chosen:
            print(f"{mutant.name} | {mutant.path} | {mutant.breaks} | {' '.join(mutant.tests)}")
        return 0
    if given.sample is not None and given.sample < len(chosen):
        print(
            f"{given.sample} of {len(chosen)} mutants: --sample {given.sample} --seed {given.seed}"
        )
        chosen = random.Random(given.seed).sample(chosen, given.sample)
    begin = time.monotonic()
    verdicts = run(chosen)
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.survives]
    took = time.monotonic() - begin
    print(f"{len(chosen)} mutants, {len(survivors)} survive, {took:.0f} s")
    if survivors:
        print(f"survivors: {', '.join(survivors)}")
    return 1 if survivors else 0


def choose(patterns: Sequence[str] | None) -> list[PythonMutant]:
    """Return the mutants whose name fits one of the patterns; all without patterns."""
    if patterns is None:
        return list(MUTANTS)
    names = {mutant.name for mutant in MUTANTS}
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise SystemExit(f"no mutant is named {pattern!r}")
    return [m for m in MUTANTS if any(fnmatch.fnmatchcase(m.name, each) for each in patterns)]


def run(chosen: Sequence[PythonMutant]) -> list[Verdict]:
    """Try all of them; raise `RuntimeError` when a test that kills one fails without a mutant."""
    if any(name.partition(".")[0] == "rediq_trio" for name in sys.modules):
        raise RuntimeError("the library is imported already: its mutants would not be")
    os.chdir(ROOT)
    for module in IMPORTED_ONCE:
        import_module(module)
    gc.collect()
    gc.freeze()
    verdicts: list[Verdict] = []
    with compiled_copy() as base, ProcessPoolExecutor(AT_ONCE, mp_context=FORK) as pool:
        for verdict in pool.map(judge, [base] * len(chosen), chosen):
            verdicts.append(verdict)
            print(verdict, flush=True)
        killers = sorted({each.by for each in verdicts if each.by is not None and not each.hangs})
        wrong = pool.submit(wrong_killer, base, killers).result() if killers else None
    if wrong is not None:
        raise RuntimeError(f"{wrong} fails or hangs without a mutant")
    return verdicts


def wrong_killer(base: Path, killers: Sequence[str]) -> str | None:
    """Return a test of these that fails without a mutant."""
    with mutated_copy(base, None) as source:
        return first_failure(source, killers)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
