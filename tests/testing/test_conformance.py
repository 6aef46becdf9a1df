"""The conformance suite as whoever writes a store runs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from rediq_trio.spec.check.totals import QueueTotals
from rediq_trio.spec.messages import Claimed, Fence, Verdict
from rediq_trio.store.memory import MemoryStore
from rediq_trio.testing import conformance
from rediq_trio.testing.conformance import ConformanceCase, cases
from rediq_trio.testing.conformance.parametrized import arguments_of

CONFORMANCE = Path(__file__).parents[1] / "conformance"
CASES = {str(case): case for case in cases()}
CLAIM = "test_claim.py::test_a_claim_leases_a_task"
SOME = [
    case for name, case in CASES.items() if name.startswith(("test_claim.py", "test_fences.py"))
]


class LongLeases(MemoryStore):
    """A store whose leases last a millisecond longer than was asked for."""

    async def claim(self, queue: str, /, *, lease_ms: int, **options: Any) -> Claimed:
        return await super().claim(queue, lease_ms=lease_ms + 1, **options)


class RenewsStale(MemoryStore):
    """A store that renews whatever it is asked to."""

    async def renew(
        self, queue: str, /, fences: Sequence[Fence], *, lease_ms: int
    ) -> tuple[Verdict, ...]:
        await super().renew(queue, fences, lease_ms=lease_ms)
        return (Verdict.KEPT,) * len(fences)


class Miscounts(MemoryStore):
    """A store that counts a task too many: only the invariants show it."""

    async def totals(self, queue: str, /) -> QueueTotals:
        found = await super().totals(queue)
        return attrs.evolve(found, records=found.records + 1)


def opens(kind: Callable[[Callable[[], int]], Any]) -> Any:
    @asynccontextmanager
    async def open_store(clock: Callable[[], int]) -> AsyncIterator[Any]:
        yield kind(clock)

    return open_store


def failures(kind: Callable[[Callable[[], int]], Any]) -> list[str]:
    """Return the names of those cases that fail."""
    found: list[str] = []
    for case in SOME:
        try:
            case.run(opens(kind))
        except AssertionError:
            found.append(case.name)
    return found


def test_a_store_that_is_as_the_specification_passes() -> None:
    assert len(SOME) > 50
    assert failures(MemoryStore) == []


def test_a_fault_fails_the_cases_that_are_about_it() -> None:
    assert CLAIM in failures(LongLeases)
    stale = failures(RenewsStale)
    assert "test_fences.py::test_another_nonce_is_stale[renew]" in stale
    assert "test_fences.py::test_another_nonce_is_stale[complete]" not in stale


def test_the_invariants_are_checked_after_each_case() -> None:
    assert failures(Miscounts) == [case.name for case in SOME]


def test_every_test_of_the_suite_is_a_case() -> None:
    written = [
        f"{path.name}::{node.name}"
        for path in CONFORMANCE.glob("test_*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        and node.name.startswith("test_")
    ]
    assert len(written) > 800
    assert sorted(written) == sorted({name.partition("[")[0] for name in CASES})


def test_each_case_has_a_name_of_its_own() -> None:
    assert len(CASES) == len(cases())


def test_a_test_that_is_not_async_is_refused() -> None:
    def test_plain() -> None: ...

    with pytest.raises(TypeError, match=r"test_it.py: test_plain is not an async function"):
        [*conformance._cases_of("test_it.py", {"__name__": __name__, "test_plain": test_plain})]


def test_a_case_ends_at_its_deadline() -> None:
    class Hangs(MemoryStore):
        async def claim(self, *_: Any, **__: Any) -> Any:
            await trio.sleep_forever()

    with pytest.raises(trio.TooSlowError):
        CASES[CLAIM].run(opens(Hangs), deadline=0.05)


async def test_a_case_runs_in_a_run_of_trio_that_goes_on() -> None:
    await CASES[CLAIM].run_in_trio(opens(MemoryStore))
    with pytest.raises(AssertionError):
        await CASES[CLAIM].run_in_trio(opens(LongLeases))


def test_each_case_opens_a_store_once_and_closes_it() -> None:
    said: list[str] = []

    @asynccontextmanager
    async def open_store(clock: Callable[[], int]) -> AsyncIterator[Any]:
        said.append("open")
        yield MemoryStore(clock)
        said.append("closed")

    CASES[CLAIM].run(open_store)
    assert said == ["open", "closed"]


def test_a_case_shows_its_name() -> None:
    case = CASES[CLAIM]
    assert isinstance(case, ConformanceCase)
    assert (str(case), repr(case)) == (CLAIM, f"ConformanceCase(name={CLAIM!r})")


def test_a_machine_without_pytest_names_the_extra() -> None:
    program = (
        "import sys\n"
        "sys.modules['pytest'] = None\n"
        "from rediq_trio.testing.conformance import cases\n"
        "cases()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "needs the extra `testing`: pip install 'rediq-trio[testing]'" in done.stderr


# What `parametrize` asks for.


@pytest.mark.parametrize(
    ("mark", "ids"),
    [
        (pytest.mark.parametrize("n", [1, None, "é"]), ["[1]", "[None]", r"[\xe9]"]),
        (pytest.mark.parametrize("n", [b"a\xff", int]), [r"[a\xff]", "[int]"]),
        (pytest.mark.parametrize("n", [[], "k" * 101]), ["[n0]", "[n1]"]),
        (pytest.mark.parametrize("n", [1, "1", 2]), ["[10]", "[11]", "[2]"]),
        (pytest.mark.parametrize(("n", "m"), [(1, 2), (3, [])]), ["[1-2]", "[3-m1]"]),
        (pytest.mark.parametrize("n", [[], {}], ids=["list", "dict"]), ["[list]", "[dict]"]),
        (pytest.mark.parametrize("n", [7, 8], ids=lambda n: f"n{n}"), ["[n7]", "[n8]"]),
    ],
)
def test_runs_are_named_by_their_arguments(mark: pytest.MarkDecorator, ids: list[str]) -> None:
    def test(n: object, m: object = None) -> None: ...

    assert [suffix for suffix, _ in arguments_of(mark(test))] == ids


def test_marks_multiply() -> None:
    @pytest.mark.parametrize("b", [True, False])
    @pytest.mark.parametrize("a", [1, 2])
    def both(a: int, b: bool) -> None: ...

    assert [*arguments_of(both)] == [
        ("[1-True]", {"a": 1, "b": True}),
        ("[1-False]", {"a": 1, "b": False}),
        ("[2-True]", {"a": 2, "b": True}),
        ("[2-False]", {"a": 2, "b": False}),
    ]


def test_a_mark_that_is_not_known_is_refused() -> None:
    def test() -> None: ...

    assert [*arguments_of(test)] == [("", {})]
    with pytest.raises(TypeError, match="test: the mark skip is not known here"):
        [*arguments_of(pytest.mark.skip("why")(test))]
