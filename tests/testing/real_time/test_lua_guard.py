"""A guard that is missing in the Lua is found by a machine on a real Redis."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

import rediq_trio as rediq
from rediq_trio.store.redis import scripts
from rediq_trio.testing import QueueMachine
from tests.mutants import mutated, path_of
from tests.mutations import MUTANTS
from tests.servers import require_embedded

# Now and then, one run in three, a connection of a killed server is still open when it is collected. Where it
# comes from is not known; the socket is closed then.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MAX_RETRY = 1
MOST_EXAMPLES = 200
GUARDS = ("the last retry is taken", "what leaves the active is written")


class Retries(QueueMachine):
    """Tasks of which some fail, and what must hold of each when it has ended."""

    url = "embedded://"
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1

    def make_app(self) -> rediq.App[Any]:
        app = rediq.App("retries")

        @app.task("work", max_retry=MAX_RETRY, retention=60, backoff=rediq.Fixed(0.05))
        async def work(number: int) -> None:
            await trio.sleep(0.01)
            if number % 2:
                raise ValueError("odd")

        return app

    @rule(number=st.integers(0, 3))
    def add(self, number: int) -> None:
        self.enqueue(self.app.handler("work").task(number))

    def at_rest(self) -> None:
        for handle in self.handles:
            info = handle.info()
            if info.state == "dead" and not info.crashes:
                assert info.attempt == MAX_RETRY + 1, "a task died before its last retry"


def run(machine: type[QueueMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            machine.TestCase.settings, max_examples=examples, stateful_step_count=10,
            derandomize=True, database=None, phases=[Phase.generate],
        ),
    )  # fmt: skip


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Retries]:
    require_embedded()
    monkeypatch.setattr("rediq_trio.testing.machine.IDLE_WITHIN", {"embedded://": 15.0})
    return type("FreshRetries", (Retries,), {"examples": 0})


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_that_is_missing_is_found(
    machine: type[Retries], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mutant,) = (each for each in MUTANTS if each.name == name)
    lua = tmp_path / "lua"
    shutil.copytree(scripts.lua_folder(), lua)
    path_of(mutant.script, lua).write_text(mutated(mutant, lua), "utf-8")
    monkeypatch.setattr(scripts, "lua_folder", lambda: lua)
    with pytest.raises(AssertionError, match=r"before its last retry|there is work"):
        run(machine, MOST_EXAMPLES)
    print(f"{name}: found by example {machine.examples} of {MOST_EXAMPLES}")


def test_the_whole_lua_passes(machine: type[Retries]) -> None:
    run(machine, 20)
    assert machine.examples >= 20
